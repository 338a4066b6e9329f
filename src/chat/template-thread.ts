/** What a thread that renders templates runs: one task after the other. */
import { workerPort } from "#threads";
import { toRemoteError } from "../protocol/remote-error.js";
import { ChatRenderer } from "./chat-renderer.js";
import type { TemplateAnswer, TemplateTask } from "./template-messages.js";

const port = workerPort<TemplateAnswer, TemplateTask>();
let parsed: { readonly source: string; readonly renderer: ChatRenderer } | null = null;

port.onMessage(({ source, conversation }) => {
  try {
    if (parsed?.source !== source) parsed = { source, renderer: new ChatRenderer(source) };
    const runs =
      conversation === null ? [] : parsed.renderer.render(conversation.messages, conversation.options);
    port.post({ kind: "rendered", runs });
  } catch (error) {
    port.post({ kind: "failed", error: toRemoteError(error) });
  }
});
port.post({ kind: "ready" });
