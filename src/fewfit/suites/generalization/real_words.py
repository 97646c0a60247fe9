"""Which words of `words.SYLLABLES` are English, or a name, or stand whole in a tokenizer: none of them is nonsense.

Every word of the syllables was looked up in SCOWL's largest lists (American and British, names and abbreviations
included) and in the vocabulary of SmolLM2. A change of the syllables needs this list made again.
"""

from __future__ import annotations

from fewfit.suites.generalization.listed import listed

REAL_WORDS = frozenset(
    listed(
        """
    back baft bald balk balm balt band bang bank bant bapt barb bard barf barg bark barm barn bart bash bask bast
    bath beck belf belk belt bend beng bent berg berk berm bern bert best beth bilk bilt bind bing bink bint bird
    birk bish bisk blab black blad blag blam bland blank blash blast blat bleb bled blem blend blent blest blet
    blimp blin blind bling blink blip blob block blog blond blot blub blum blunt blurb blurt blush blut bock bold
    bolt bond bong bonk bord borg bork born bort bosh bosk both brack brad brag bram bran brand brank brant brash
    brat bred bren brent brest bret brick brid brig brim brin bring brink brisk brist brit brith brix brock brog
    brom bron broth brum brun brung brunt brush brusk brust brut brux buck bulk bump bund bung bunk bunt burb burd
    burg burk burn burp burt bush busk bust chad chaft chalk cham champ chan chand chang chank chant chap chapt
    chard charg chark charm chart chast chat check ched chem chen cheng chern chert chest chet cheth chick chid
    child chim chimp chin ching chink chip chirk chirm chirp chirt chit chock chomp chon chond chop chord chub chuck
    chug chum chump chung chunk churn chut daft dalt damp dang dank darb dard darg dark darn dart dash dast deck
    deft delf delt dend deng dent dept derk derm dern desk desp dest dick ding dink dint dipt dirk dirt dish disk
    disp dist dock dolt dong dont dork dorm dorp dort dosh dost doth drab drack drad draft drag dram drank drant
    drap drat dreck dred dreg drent drest drib drift drin drink drip dript drop dropt drub drug drum drunk duck dump
    dund dung dunk dunt durn dusk dust fack falk fand fang fant fard farm fart fash fast fath feck feld felt fend
    feng fent ferg ferm fern fert fest film filt find fing fink firm firn fish fisk fist flab flack flag flam flan
    flank flap flash flask flat flax fleck fled flem flesh flex flick flimp fling flint flip flirt flisk flit flix
    flock flog flom flong flop flosh flub flump flung flunk flush flux fold folk fond font forb ford forg fork form
    fort fost frack frag fram fran frank frant frap frat fred fren fresh fret frig frink frisk frist frit frith
    frock frog from frond front frorn frosh frost froth frug frump frust fuck fulf fund fung funk furn furt fust
    galt gamp gand gang gant garb gard garn gart gash gasp gast gath geck geld gelt gent germ gert gest gift gild
    gilt gimp ging gink gird girn girt gish gist glad glam gland gled gleg glen glib glim glimp gling glint glisk
    glob glock glom glop glost gluck glug glum glut gold golf golp gond gong gonk gork gorm gorp gosh goth grab grad
    graft gram gramp gran grand grant grasp grat greg gren grep gret grex grid grift grig grim grin grind grip gript
    grist grit grith grock grog grot grub grum grump grunt guck gulf gulp gump gunk gurn gush gust hack haft half
    halm halt hand hang hank hant harb hard hark harm harn harp hart hash hask hasp hast hath heck heft held helf
    helm help hemp hend heng hent herb herd herm hern herp hert hest heth hick hift hild hilt hind hing hint hipt
    hist hock hold holk holm holp holt hond hong honk horm horn hort hosp host huck hulk hump hung hunk hunt hurd
    hurt hush husk jack jang jark jasp jelm jerk jest jilt jimp jing jink jird jock jolt jong jord josh jump jung
    junk just kamp kand kang kant karn kart kash kath keck kelp kelt kemp kend kent kept kerb kerf kern kesh kick
    kilp kilt kind king kink kirk kirn kish kist kith klan klang klick klong kolk kong konk krab kraft kram krang
    kreng krish krist krum kulm kung kurd kurt kush lack lamp land lang lank lant lapt lard larg lark larn lash last
    lath left lend leng lent lept lerp lest leth lick lift lilt limp lind ling link lint lirk lish lisk lisp list
    lith lock loft lond long lord lorn losh lost loth luck luft lump lund lung lunk lunt lurk lush lusk lust luth
    mack mald malf malm malt mand mang mant mard marg mark marm mart mash mask mast math meld melt mend meng ment
    merg merk mesh meth mick mild milf milk milt mind ming mink mint mirk mish mist mith mock mold molt mond mong
    monk mont morb mord morm morn mort mosh mosk mosp most moth muck mult mump mund mung munt murd murk mush musk
    must nand nard nark nash neck nerd nerf nerk nesh nest neth nick ning nock nond nong nord nork norm norn nort
    nosh nost nurd nurt pack palm palp pand pang pant pard park parp part pash past path peck pelf pelt pend peng
    penk pent pept perf perk perm pern perp pert pest pick pimp ping pink pint pirn pish pist pith plack plag plan
    pland plank plant plap plash plast plat plath pleb pled plent plesh plet plex plim pling plink plit plod plog
    plonk plop plot pluck plug plum plump plung plunk plush plut pock polk polt pomp pond pong pont pork porn port
    posh posp post poth prad prag pram prang prank prat preb pred prem prent prep prest pret prex prick prig prim
    primp prin pring prink print prob prod prog prom pron prong pronk prop prost prot prox prud prunt prut puck pulk
    pulp pump pung punk punt push rack raft ramp rand rang rank rant rapt rash rask rasp rast rath reck reft rend
    reng rent rept resh resp rest reth rick rift rimp rind ring rink rint ript rish risk risp rist rock rolf romp
    rong ront rort rosh rost roth ruck rump rund rung runk runt rupt rurp rush rusk rust ruth sack salk salp salt
    samp sand sang sank sant sard sarg sark sart sash sask seld self send sent sept serb serf serk serm seth sick
    sift sild silk silt simp sind sing sink sist sith skag skald skank skart skat skeg skelf skelm skelp skep sket
    skid skim skimp skin skink skint skip skirm skirt skit skort skosh skug skuld skulk skunk slab slack slag slam
    slang slank slant slap slash slat sled slemp slept slick slid slim sling slink slip slipt slish slit slob slog
    slop slosh slot sloth slub slug slum slump slung slunk slurb slurp slush slut smack smalm smalt smarm smart
    smash smelt smerk smirk smit smith smock smog smolt smug smurf smush smut snab snack snag snap snarf snark snash
    snath sneb sneck sned snib snick snift snig snip snirt snit snob snod snog snork snort snot snub snuck snug sock
    soft sold song sorb sord sorn sort soth spald spalt spam span spang spank spark spart spat speck sped speld
    spelk spelt spend spent sperm spet spick spilt spin spink spirt spit spock spod spong spont spork sport sposh
    spot spud spun spunk spurn spurt stab stack stad stag stalk stam stamp stan stand stang stank stap stark starn
    start stash stat sted stem sten stend stent step stept stern stet stick stilt stim sting stink stint stip stirk
    stirp stob stock stom stomp ston stond stong stonk stop stopt stork storm stot stub stuck stud stulm stum stump
    stun stung stunk stunt stup sturt suck sulf sulk sump sund sung sunk supt surd surf surg surn susp sust tack
    taft talk talm tamp tang tank tant tarn tarp tart tash task tast tath teld telt temp tend tent terf term tern
    test teth thack thad thalm than thank thant tharm tharp that theft them then therm thick thig thilk thin thing
    think third thoft thom thon thong thorn thorp thoth thud thug thump thun thunk tick tift tilt tind ting tink
    tint tipt tock toft told tolt tong tonk torn tort tosh tost track trad trag tram tramp tran trank trant trap
    trapt trash trat treck trem trend trent tresp tret trib trick trig trim trin trip trist trit trix trock trod
    trog tromp tron trop trot troth truck trug trump trunk trust truth tuck tuft tump tund tung turb turd turf turk
    turm turn tush tusk twang twank twat twerk twerp twig twilt twin twink twirp twisp twist twit vamp vand vang
    vant vast veld velt vend vent verb verm vern vert vest vick vild vind ving vint virt vish volk volt wack waft
    wald walk walt wand wang wank want ward warf wark warm warn warp wart wash wasp wast weck weft weld welk welt
    wend went wept wert west wick wild wilt wimp wind wing wink wish wisp wist with wock wold wolf wond wong wonk
    wont word work worm worn wort wost yack yald yang yank yard yarn yeld yelk yelm yelp yelt yerd yerk yesh yest
    ying yird yirk yock yolk yomp yond yong yont york yosh yuck yuft yump yurt zack zarf zend zerk zest zing zonk
    zorn zurf
    """
    )
)
