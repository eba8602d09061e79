// Questions on their way to the models.

import { say } from "/assets/shared/dom.js";
import { start, stop } from "/assets/playground/run.js";
import { contentOf, newMessage, settle } from "/assets/playground/state.js";

/** What asks for answers in the session that `app` shows. */
export class Sender {
  constructor(app) {
    this.app = app;
  }

  /** Ask for the next answer in `chat`, or for more of the message `going`. True if it is on its way. */
  ask(chat, going = null) {
    const { app } = this;
    const { session } = app;
    const heard = (kind, message) => {
      const column = app.column(chat);
      if (kind === "more") return column?.progress(message);
      column?.turned(message);
      app.composer.status();
      return kind === "done" && this.#over(session, chat, message);
    };
    const problems = start(session, chat, heard, going);
    app.column(chat)?.tell(problems);
    if (!problems.length) app.changed(chat);
    return !problems.length;
  }

  /** Send what is in the composer to those that it is for; without anything there, let those answer that can. */
  send() {
    const { app } = this;
    const { text, parts } = app.session.draft ?? { text: "", parts: [] };
    const written = text.trim() || parts.length;
    const asks = (chat) => (written ? this.#put(chat, text, parts) : wants(chat) && this.ask(chat));
    const asked = app.composer.chosen().filter(asks);
    if (asked.length && written) app.composer.clear();
    if (!asked.length && !written) say("Write something first.");
    app.composer.focus();
  }

  /** Put a message into `chat` and ask; true if it went. */
  #put(chat, text, parts) {
    stop(chat);
    const before = chat.messages;
    chat.messages = [...before];
    settle(chat);
    chat.messages.push(newMessage("user", contentOf(text, structuredClone(parts))));
    if (this.ask(chat)) return true;
    chat.messages = before;
    return false;
  }

  #over(session, chat, message) {
    const { app } = this;
    if (session === app.session) {
      const { error, finish } = message.answer;
      const end = error ? "there was no whole answer" : finish === "stopped" ? "stopped" : "answered";
      app.tell(`Conversation ${session.chats.indexOf(chat) + 1}: ${end}`);
      app.panel.changed(chat);
    }
    app.sessions.draw();
  }
}

function wants(chat) {
  return ["user", "tool"].includes(chat.messages.at(-1)?.role);
}
