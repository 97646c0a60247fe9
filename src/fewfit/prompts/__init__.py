"""Prompts that make a base model answer: rules, some conversations as examples, and the one that is going on.

conversation.py   turns of a query and an answer;  reading.py  them from data sets of many shapes
frame.py          headings and fences that a conversation is written in, and where an answer ends
urial.py          the prompt as plain text;  published.py  such prompts from files, ours (shipped/) and others'
chat.py           the same conversations by the chat template of a model that was trained for one
prompter.py       what both are;  talk.py  whole conversations with a writer, within its context
"""

from fewfit.prompts.chat import ChatPrompt
from fewfit.prompts.conversation import Conversation, Turn
from fewfit.prompts.frame import TAG, Frame
from fewfit.prompts.prompter import Prompter, fitted
from fewfit.prompts.published import load, ours, parsed, showing
from fewfit.prompts.reading import conversations
from fewfit.prompts.talk import replies, talk
from fewfit.prompts.urial import UrialPrompt

__all__ = [
    "TAG",
    "ChatPrompt",
    "Conversation",
    "Frame",
    "Prompter",
    "Turn",
    "UrialPrompt",
    "conversations",
    "fitted",
    "load",
    "ours",
    "parsed",
    "replies",
    "showing",
    "talk",
]
