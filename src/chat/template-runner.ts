/**
 * Renders templates, which are untrusted programs, where they can do no harm: in a thread whose heap is
 * limited, or, where the runtime has none, right here under the deadline alone.
 */
import { LastrowError } from "../errors.js";
import { LimitedTasks, type TaskThread } from "../platform/limited-tasks.js";
import { ChatRenderer, type RenderOptions, templateFailure } from "./chat-renderer.js";
import type { ChatMessage } from "./chat-template.js";
import type { Run } from "./jinja/text.js";
import type { TemplateTask } from "./template-messages.js";

/** A thread that runs template-thread.ts and is ready. */
export type TemplateThread = TaskThread<TemplateTask, readonly Run[]>;

export class TemplateRunner {
  readonly #tasks: LimitedTasks<TemplateTask, readonly Run[]>;

  /** @param startThread null, or a rejection, where no thread's heap can be limited */
  constructor(startThread: () => Promise<TemplateThread | null>) {
    this.#tasks = new LimitedTasks({
      startThread,
      runHere: ({ source, conversation }) => {
        const renderer = new ChatRenderer(source);
        return conversation === null ? [] : renderer.render(conversation.messages, conversation.options);
      },
      failure: (reason) => templateFailure(reason, null),
      disposed: () =>
        new LastrowError("disposed", "The model was disposed of while a chat template was rendered."),
    });
  }

  /** @throws LastrowError `tokenizer_invalid` when the template cannot be parsed, `chat_template_failed`, `disposed` */
  async check(source: string, deadlineMs: number): Promise<void> {
    await this.#tasks.run({ source, conversation: null }, deadlineMs);
  }

  /** @throws LastrowError as `ChatRenderer.render`; `disposed` */
  render(source: string, messages: readonly ChatMessage[], options: RenderOptions): Promise<readonly Run[]> {
    return this.#tasks.run({ source, conversation: { messages, options } }, options.deadlineMs);
  }

  dispose(): Promise<void> {
    return this.#tasks.dispose();
  }
}
