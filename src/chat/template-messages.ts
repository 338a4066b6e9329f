/** What a thread that renders templates is asked for. */
import type { RenderOptions } from "./chat-renderer.js";
import type { ChatMessage } from "./chat-template.js";

export interface TemplateTask {
  readonly source: string;
  /** Null: the template is only parsed. */
  readonly conversation: {
    readonly messages: readonly ChatMessage[];
    readonly options: RenderOptions;
  } | null;
}
