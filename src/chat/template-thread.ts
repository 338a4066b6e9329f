/** What a thread that renders templates runs. */
import { heapLook, workerPort } from "#threads";
import { answerTasks, type TaskAnswer } from "../platform/limited-tasks.js";
import { ChatRenderer } from "./chat-renderer.js";
import type { Run } from "./jinja/text.js";
import type { TemplateTask } from "./template-messages.js";

const look = heapLook();
let parsed: { readonly source: string; readonly renderer: ChatRenderer } | null = null;

answerTasks(
  workerPort<TaskAnswer<readonly Run[]>, TemplateTask>(),
  ({ source, conversation }: TemplateTask): readonly Run[] => {
    if (parsed?.source !== source) parsed = { source, renderer: new ChatRenderer(source, look) };
    return conversation === null ? [] : parsed.renderer.render(conversation.messages, conversation.options);
  },
);
