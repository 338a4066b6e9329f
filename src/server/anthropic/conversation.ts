/**
 * Conversations of Anthropic's API, turned into those of chat templates: a system text is a message, results of tools are
 * messages of their own, and neighbours of one role are one message.
 */
import type { ChatMessage, TextPart } from "../../chat/chat-template.js";
import type { ToolCall, ToolChoice, ToolDefinition } from "../../tools/tool.js";
import { ApiError } from "../api-error.js";
import type { CountTokensRequest, MessageBlock, MessageBody } from "../schemas/messages.js";

type Texts = string | readonly TextPart[];

/**
 * The messages of a request.
 * @throws ApiError 400 for blocks that a role cannot have, and for a last message whose calls nobody has answered
 */
export function conversationOf({
  system,
  messages,
}: Pick<CountTokensRequest, "system" | "messages">): ChatMessage[] {
  const conversation: ChatMessage[] = [];
  const hasSystem = system != null && (typeof system === "string" ? system !== "" : system.length > 0);
  if (hasSystem) conversation.push({ role: "system", content: textsOf(system) });
  for (const [i, message] of messages.entries()) {
    for (const part of messagesOf(message, `messages.${i}`)) add(conversation, part);
  }
  const { toolCalls = [] } = conversation.at(-1)!;
  if (toolCalls.length > 0) {
    const place = `messages.${messages.length - 1}`;
    throw refused(
      `${place}: a message whose tool_use has no tool_result behind it cannot be the last.`,
      place,
    );
  }
  return conversation;
}

/** Whether the last message, the assistant's, goes on. */
export function continuesLast(conversation: readonly ChatMessage[]): boolean {
  return conversation.at(-1)?.role === "assistant";
}

function messagesOf({ role, content }: MessageBody, place: string): ChatMessage[] {
  if (typeof content === "string") return [{ role, content }];
  if (role === "assistant") return [assistantMessage(content, place)];
  const parts: ChatMessage[] = [];
  for (const [i, block] of content.entries()) {
    if (block.type === "text") add(parts, { role, content: [textPart(block)] });
    else if (block.type === "tool_result" && role === "user") parts.push(resultOf(block));
    else throw misplaced(block, role, `${place}.content.${i}`);
  }
  return parts;
}

function assistantMessage(content: readonly MessageBlock[], place: string): ChatMessage {
  const texts: TextPart[] = [];
  const thoughts: string[] = [];
  const toolCalls: ToolCall[] = [];
  for (const [i, block] of content.entries()) {
    if (block.type === "text") texts.push(textPart(block));
    else if (block.type === "thinking") thoughts.push(block.thinking);
    else if (block.type === "tool_use") {
      toolCalls.push({ id: block.id, name: block.name, arguments: JSON.stringify(block.input) });
    } else throw misplaced(block, "assistant", `${place}.content.${i}`);
  }
  return {
    role: "assistant",
    content: textsOf(texts),
    ...(thoughts.length > 0 && { reasoning: thoughts.join("\n") }),
    ...(toolCalls.length > 0 && { toolCalls }),
  };
}

type ResultBlock = Extract<MessageBlock, { type: "tool_result" }>;

/** A template knows no results that are errors: their text says so. */
function resultOf({ tool_use_id: toolCallId, content, is_error }: ResultBlock): ChatMessage {
  const text = typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");
  return { role: "tool", toolCallId, content: is_error === true ? `Error: ${text}` : text };
}

/** Puts a message behind the others, into the last one where that is of the same role. Results of tools stay apart. */
function add(messages: ChatMessage[], message: ChatMessage): void {
  const last = messages.at(-1);
  if (last === undefined || last.role !== message.role || last.role === "tool") {
    messages.push({ ...message, content: textsOf(message.content) });
    return;
  }
  const reasoning = [last.reasoning, message.reasoning].filter((text) => text !== undefined).join("\n");
  const toolCalls = [...(last.toolCalls ?? []), ...(message.toolCalls ?? [])];
  messages[messages.length - 1] = {
    role: last.role,
    content: textsOf([...partsOf(last.content), ...partsOf(message.content)]),
    ...(reasoning !== "" && { reasoning }),
    ...(toolCalls.length > 0 && { toolCalls }),
  };
}

function partsOf(content: Texts): readonly TextPart[] {
  if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
  return content;
}

/** One block is a text, as most templates know it. */
function textsOf(content: Texts): Texts {
  if (typeof content === "string") return content;
  if (content.length > 1) return content.map(textPart);
  return content[0]?.text ?? "";
}

function textPart({ text }: TextPart): TextPart {
  return { type: "text", text };
}

function misplaced({ type }: MessageBlock, role: string, place: string): ApiError {
  return refused(`${place}: a message of the role ${role} cannot have a block of type ${type}.`, place);
}

/** The tools of a request, and which of them may, or must, be called. @throws ApiError 400 for a tool without its name */
export function askedTools({
  tools,
  tool_choice: choice,
}: Pick<CountTokensRequest, "tools" | "tool_choice">): {
  readonly tools: readonly ToolDefinition[];
  readonly toolChoice: ToolChoice;
  readonly parallelToolCalls: boolean;
} {
  return {
    tools: (tools ?? []).map(({ name, description, input_schema }) => ({
      name,
      ...(description != null && { description }),
      parameters: input_schema as ToolDefinition["parameters"],
    })),
    toolChoice: choiceOf(choice),
    parallelToolCalls: choice?.disable_parallel_tool_use !== true,
  };
}

function choiceOf(choice: CountTokensRequest["tool_choice"]): ToolChoice {
  switch (choice?.type) {
    case "any":
      return "required";
    case "none":
      return "none";
    case "tool":
      if (choice.name == null) {
        throw refused("tool_choice of the type tool has the name of one.", "tool_choice.name");
      }
      return { name: choice.name };
    default:
      return "auto";
  }
}

function refused(message: string, param: string): ApiError {
  return new ApiError(400, "invalid_request", message, { param });
}
