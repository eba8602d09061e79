// What a person does to the messages of a conversation.

import { say } from "/assets/shared/dom.js";
import { offer } from "/assets/playground/notes.js";
import { busy, stop } from "/assets/playground/run.js";
import { copyChat, newMessage, newSession, nextRole } from "/assets/playground/state.js";
import { openCalls, resultsFor, title } from "/assets/playground/state.js";

/** The acts upon the messages of `chat`, which `column` shows; `app` is the page's. */
export class Acts {
  constructor(chat, app, column) {
    Object.assign(this, { chat, app, column });
  }

  /** Something in the conversation is another than it was. */
  changed() {
    this.app.changed(this.chat);
  }

  /** The same, and it is to be seen. `focus` is the message to be in then. */
  drawn(focus = null) {
    this.changed();
    this.column.draw();
    if (focus) this.column.focus(focus);
  }

  /** Put a new message before `message` (`offset` 0) or behind it (1); without one, at the end. */
  insert(message, offset) {
    const { messages } = this.chat;
    const at = message ? messages.indexOf(message) + offset : messages.length;
    const made = newMessage(nextRole(messages[at - 1]));
    messages.splice(at, 0, made);
    this.drawn(made);
  }

  move(message, by) {
    const { messages } = this.chat;
    const from = messages.indexOf(message);
    const to = from + by;
    if (to < 0 || to >= messages.length || busy(this.chat)) return;
    messages.splice(from, 1);
    messages.splice(to, 0, message);
    this.drawn(message);
    say(`Message ${to + 1} of ${messages.length}`);
  }

  remove(message) {
    const at = this.chat.messages.indexOf(message);
    if (message.pending) stop(this.chat);
    this.#replace(this.chat.messages.filter((one) => one !== message), "Message deleted.");
    this.drawn(this.chat.messages[at] ?? this.chat.messages.at(-1) ?? true);
  }

  clear() {
    stop(this.chat);
    this.#replace([], "All messages are deleted.");
    this.drawn(true);
  }

  /** Ask anew from `message` on: what came after it goes, and it itself if it is an answer. */
  again(message) {
    this.#ask(message, message.role === "assistant" ? 0 : 1, "Asked again from here.");
  }

  /** Have `message`, which is the assistant's, go on; what comes after it goes. */
  goOn(message) {
    this.#ask(message, 1, "What came after it is gone.", message);
  }

  /** What is here up to `message`, as another conversation in a "column" or in a "session" of its own. */
  branch(message, where) {
    const { chat, app } = this;
    const copy = copyChat(chat, message);
    if (where === "column") app.add(copy, chat);
    else app.open(newSession([copy], `${title(app.session)} (branch)`));
  }

  /** Add tool messages for the calls of `message`, to be filled in. */
  results(message) {
    const made = resultsFor(openCalls(this.chat, message));
    this.chat.messages.splice(this.chat.messages.indexOf(message) + 1, 0, ...made);
    this.drawn(made[0]);
  }

  /** Ask with what is here up to `message`; where nothing can be sent all stays as it is. */
  #ask(message, offset, told, going = null) {
    const { chat } = this;
    stop(chat);
    const before = chat.messages;
    const at = before.indexOf(message) + offset;
    chat.messages = before.slice(0, at);
    if (!this.app.ask(chat, going)) chat.messages = before;
    else if (at < before.length) this.#offer(told, before);
  }

  /** Put `messages` in the place of those there are, with a way back. */
  #replace(messages, told) {
    this.#offer(told, this.chat.messages);
    this.chat.messages = messages;
  }

  #offer(told, before) {
    offer(told, () => {
      stop(this.chat);
      this.chat.messages = before;
      this.drawn();
    });
  }
}
