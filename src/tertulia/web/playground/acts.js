// What a person does to the messages of a conversation.

import { say } from "/assets/shared/dom.js";
import { offer } from "/assets/playground/notes.js";
import { busy, stop } from "/assets/playground/run.js";
import { copyChat, MOST_CHATS, newMessage, newSession, nextRole, openCalls, resultsFor, title } from "/assets/playground/state.js";

/** The acts upon the messages of `chat`; `column()` gives its view, `app` is the page's. */
export function actsOn(chat, app, column) {
  const drawn = (focus) => {
    app.changed(chat);
    column().draw();
    if (focus) column().focus(focus);
  };

  /** Put `messages` in the place of those there are, with a way back. */
  function replace(messages, told) {
    const before = chat.messages;
    chat.messages = messages;
    offer(told, () => {
      stop(chat);
      chat.messages = before;
      drawn();
    });
  }

  return {
    chat,
    app,
    changed: () => app.changed(chat),
    drawn,
    busy: () => busy(chat),

    insert(message, offset) {
      const at = message ? chat.messages.indexOf(message) + offset : chat.messages.length;
      const made = newMessage(nextRole(chat.messages[at - 1]));
      chat.messages.splice(at, 0, made);
      drawn(made);
    },

    move(message, by) {
      const from = chat.messages.indexOf(message);
      const to = from + by;
      if (to < 0 || to >= chat.messages.length || busy(chat)) return;
      chat.messages.splice(from, 1);
      chat.messages.splice(to, 0, message);
      drawn(message);
      say(`Message ${to + 1} of ${chat.messages.length}`);
    },

    remove(message) {
      if (message.pending) stop(chat);
      const at = chat.messages.indexOf(message);
      replace(chat.messages.filter((one) => one !== message), "Message deleted.");
      drawn(chat.messages[Math.min(at, chat.messages.length - 1)] ?? true);
    },

    /** Ask anew from `message` on: what came after it goes, and it itself if it is an answer. */
    again(message) {
      stop(chat);
      const at = chat.messages.indexOf(message) + (message.role === "assistant" ? 0 : 1);
      if (at < chat.messages.length) replace(chat.messages.slice(0, at), "Asked again from here.");
      app.ask(chat);
    },

    /** Have `message`, which is the assistant's, go on; what comes after it goes. */
    goOn(message) {
      stop(chat);
      const at = chat.messages.indexOf(message) + 1;
      if (at < chat.messages.length) replace(chat.messages.slice(0, at), "What came after it is gone.");
      app.ask(chat, message);
    },

    branch(message, where) {
      const copy = copyChat(chat, message);
      if (where === "session") app.open(newSession([copy], `${title(app.session)} (branch)`.slice(0, 200)));
      else if (app.session.chats.length < MOST_CHATS) app.add(copy, chat);
      else say(`There are ${MOST_CHATS} conversations beside each other already.`);
    },

    /** Add tool messages for the calls of `message`, to be filled in. */
    results(message) {
      const made = resultsFor(openCalls(chat, message));
      chat.messages.splice(chat.messages.indexOf(message) + 1, 0, ...made);
      drawn(made[0]);
    },
  };
}
