/**
 * Renders templates, which are untrusted programs, where they can do no harm: in a thread whose heap is
 * limited, or, where the runtime has none, right here under the deadline alone. Owns the thread, which is started for the
 * first template and started anew when one has brought it down, and the tasks that wait for it: one at a time.
 */

import { LastrowError } from "../errors.js";
import type { LimitedThread } from "../platform/limited-thread.js";
import { fromRemoteError } from "../protocol/remote-error.js";
import { ChatRenderer, type RenderOptions, templateFailure } from "./chat-renderer.js";
import type { ChatMessage } from "./chat-template.js";
import type { Run } from "./jinja/text.js";
import type { TemplateAnswer, TemplateTask } from "./template-messages.js";

/** A thread that runs template-thread.ts and is ready. */
export type TemplateThread = LimitedThread<TemplateTask, TemplateAnswer>;

/** Milliseconds after its deadline at which a template is ended that has not looked at the clock itself. */
const GRACE_MS = 1000;

export class TemplateRunner {
  readonly #startThread: () => Promise<TemplateThread | null>;
  /** What is at work; the next task waits for it. */
  #last: Promise<unknown> = Promise.resolve();
  #thread: TemplateThread | null = null;
  /** Once it is known that there are no threads. */
  #isHere = false;
  #isDisposed = false;

  /** @param startThread null, or a rejection, where no thread's heap can be limited */
  constructor(startThread: () => Promise<TemplateThread | null>) {
    this.#startThread = startThread;
  }

  /** @throws LastrowError `tokenizer_invalid` when the template cannot be parsed, `chat_template_failed`, `disposed` */
  async check(source: string, deadlineMs: number): Promise<void> {
    await this.#run({ source, conversation: null }, deadlineMs);
  }

  /** @throws LastrowError as `ChatRenderer.render`; `disposed` */
  render(source: string, messages: readonly ChatMessage[], options: RenderOptions): Promise<readonly Run[]> {
    return this.#run({ source, conversation: { messages, options } }, options.deadlineMs);
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const thread = this.#thread;
    this.#thread = null;
    await thread?.close();
  }

  #run(task: TemplateTask, deadlineMs: number): Promise<readonly Run[]> {
    const mine = this.#last.then(() => this.#next(task, deadlineMs));
    this.#last = mine.catch(() => undefined);
    return mine;
  }

  async #next(task: TemplateTask, deadlineMs: number): Promise<readonly Run[]> {
    this.#expectAlive();
    if (this.#thread === null && !this.#isHere) {
      const thread = await this.#startThread().catch(() => null);
      if (this.#isDisposed) await thread?.close();
      this.#expectAlive();
      this.#thread = thread;
      this.#isHere = thread === null;
    }
    const thread = this.#thread;
    if (thread === null) {
      const renderer = new ChatRenderer(task.source);
      if (task.conversation === null) return [];
      return renderer.render(task.conversation.messages, task.conversation.options);
    }
    return this.#ask(thread, task, deadlineMs);
  }

  #ask(thread: TemplateThread, task: TemplateTask, deadlineMs: number): Promise<readonly Run[]> {
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer);
        thread.hold(false);
      };
      const lose = (error: LastrowError) => {
        end();
        if (this.#thread === thread) this.#thread = null;
        reject(this.#isDisposed ? disposed() : error);
      };
      const timer = setTimeout(() => {
        lose(templateFailure(`it took more than ${deadlineMs / 1000} s`, null));
        void thread.close();
      }, deadlineMs + GRACE_MS);
      thread.onLost((reason) => lose(templateFailure(reason, null)));
      thread.onMessage((answer) => {
        end();
        if (answer.kind === "failed") reject(fromRemoteError(answer.error));
        else resolve(answer.kind === "rendered" ? answer.runs : []);
      });
      thread.hold(true);
      thread.post(task);
    });
  }

  #expectAlive(): void {
    if (this.#isDisposed) throw disposed();
  }
}

function disposed(): LastrowError {
  return new LastrowError("disposed", "The model was disposed of while a chat template was rendered.");
}
