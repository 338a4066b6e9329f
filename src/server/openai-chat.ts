/** Conversations and calls as OpenAI's chats have them, turned into what all routes of chats take, and back. */
import type { z } from "@hono/zod-openapi";
import type { ChatMessage } from "../chat/chat-template.js";
import type { JsonSchema } from "../library/structured-output.js";
import type { ToolCall, ToolCallDelta, ToolDefinition } from "../tools/tool.js";
import { ApiError } from "./api-error.js";
import type { ChatAsk, ChatPromptAsk } from "./chat-generation.js";
import type { ChatPromptBody } from "./schemas/chat.js";
import type { ToolChoiceBody, toolCallsResponse } from "./schemas/tools.js";

/**
 * The conversation of a request.
 * @throws ApiError 400 for a last message that is to be continued and to be followed by another
 */
export function chatPromptAsk(body: ChatPromptBody): ChatPromptAsk {
  const { messages, add_generation_prompt, continue_final_message } = body;
  const continueLast = continue_final_message === true;
  if (continueLast && add_generation_prompt === true) {
    throw new ApiError(
      400,
      "invalid_request",
      "continue_final_message and add_generation_prompt cannot both be true: the last message goes on, or another one begins.",
      { param: "continue_final_message" },
    );
  }
  return {
    messages: messagesOf(messages),
    messagesParam: "messages",
    tools: toolsOf(body.tools),
    variables: body.chat_template_kwargs ?? {},
    variablesParam: "chat_template_kwargs",
    addGenerationPrompt: add_generation_prompt ?? true,
    continueLast,
  };
}

/** Which tools are called, and whether several. */
export function toolChoiceAsk(
  body: ToolChoiceBody,
): Pick<ChatAsk, "toolChoice" | "allowedTools" | "parallelToolCalls"> {
  const { tool_choice: choice, parallel_tool_calls: parallel } = body;
  return { ...toolChoiceOf(choice), parallelToolCalls: parallel ?? true };
}

function toolChoiceOf(choice: ToolChoiceBody["tool_choice"]): Pick<ChatAsk, "toolChoice" | "allowedTools"> {
  if (choice == null) return { toolChoice: "auto" };
  if (typeof choice === "string") return { toolChoice: choice };
  if (choice.type === "function") return { toolChoice: { name: choice.function.name } };
  const { mode, tools } = choice.allowed_tools;
  return { toolChoice: mode, allowedTools: tools.map(({ function: { name } }) => name) };
}

/** The calls of an answer. */
export function toolCallsOf(calls: readonly ToolCall[]): z.infer<typeof toolCallsResponse> {
  return calls.map(({ id, name, arguments: text }) => ({
    ...{ id, type: "function", function: { name, arguments: text } },
  }));
}

/** What is new of a call, in a chunk. */
export function toolCallDeltaOf({ index, id, name, arguments: text }: ToolCallDelta): object {
  return {
    index,
    ...(id !== undefined && { id, type: "function" }),
    function: { ...(name !== undefined && { name }), arguments: text },
  };
}

function messagesOf(bodies: ChatPromptBody["messages"]): ChatMessage[] {
  return bodies.map(({ role, tool_calls: calls, ...body }) => ({
    ...{ role, content: contentOf(body) },
    ...thoughtsOf(body),
    ...(calls != null && {
      toolCalls: calls.map(({ id, function: { name, arguments: text } }) => ({ id, name, arguments: text })),
    }),
    ...(role === "tool" && { toolCallId: body.tool_call_id!, ...(body.name != null && { name: body.name }) }),
  }));
}

/** What was thought before a message. */
function thoughtsOf(body: Pick<ChatPromptBody["messages"][number], "reasoning_content" | "reasoning">): {
  readonly reasoning?: string;
} {
  const reasoning = body.reasoning_content ?? body.reasoning;
  return reasoning == null ? {} : { reasoning };
}

/** Thoughts as clients look for them: DeepSeek's name is the older, vLLM has come to the newer. None: nothing. */
export function thoughtFields(reasoning: string): object {
  return reasoning === "" ? {} : { reasoning_content: reasoning, reasoning };
}

/** What a message says; what it says in refusing is said, too. */
function contentOf({
  content,
  refusal,
}: Pick<ChatPromptBody["messages"][number], "content" | "refusal">): ChatMessage["content"] {
  if (content == null || content === "") return refusal ?? "";
  if (typeof content === "string") return content;
  return content.map((part) => ({ type: "text", text: part.type === "text" ? part.text : part.refusal }));
}

/** What the model may call. */
export function toolsOf(bodies: ChatPromptBody["tools"]): ToolDefinition[] {
  return (bodies ?? []).map(({ function: { name, description, parameters } }) => ({
    name,
    ...(description != null && { description }),
    ...(parameters != null && { parameters: parameters as JsonSchema }),
  }));
}
