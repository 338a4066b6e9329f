/** What a thread that renders templates and its client say to each other. */
import type { RemoteError } from "../protocol/remote-error.js";
import type { RenderOptions } from "./chat-renderer.js";
import type { ChatMessage } from "./chat-template.js";
import type { Run } from "./jinja/text.js";

export interface TemplateTask {
  readonly source: string;
  /** Null: the template is only parsed. */
  readonly conversation: {
    readonly messages: readonly ChatMessage[];
    readonly options: RenderOptions;
  } | null;
}

/** `ready` once, then one answer for each task, in order. */
export type TemplateAnswer =
  | { readonly kind: "ready" }
  | { readonly kind: "rendered"; readonly runs: readonly Run[] }
  | { readonly kind: "failed"; readonly error: RemoteError };
