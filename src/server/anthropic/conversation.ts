/**
 * Conversations of Anthropic's API, turned into those of chat templates: a system text is a message, results of tools are
 * messages of their own, and neighbours of one role are one message.
 */
import type { ChatMessage, TextPart } from "../../chat/chat-template.js";
import type { ToolCall, ToolChoice, ToolDefinition } from "../../tools/tool.js";
import { ApiError } from "../api-error.js";
import type { CountTokensRequest, MessageBlock, MessageBody } from "../schemas/messages.js";

/** A message while others of its role may still come: it grows in place, since a message may have thousands of blocks. */
interface Draft {
  readonly role: ChatMessage["role"];
  /** None is empty. */
  readonly parts: TextPart[];
  readonly thoughts: string[];
  readonly toolCalls: ToolCall[];
  /** Of a tool's result, which stays apart. */
  readonly toolCallId: string | null;
}

/**
 * The messages of a request.
 * @throws ApiError 400 for blocks that a role cannot have, and for a last message whose calls have no answer
 */
export function conversationOf({
  system,
  messages,
}: Pick<CountTokensRequest, "system" | "messages">): ChatMessage[] {
  const drafts: Draft[] = [];
  if (system != null && system.length > 0) addText(draftOf("system", drafts), system);
  for (const [i, message] of messages.entries()) addMessage(drafts, message, `messages.${i}`);
  if (drafts.at(-1)!.toolCalls.length > 0) {
    const place = `messages.${messages.length - 1}`;
    throw refused(
      `${place}: a message whose tool_use has no tool_result behind it cannot be the last.`,
      place,
    );
  }
  return drafts.map(messageOf);
}

/** Whether the last message, the assistant's, goes on. */
export function continuesLast(conversation: readonly ChatMessage[]): boolean {
  return conversation.at(-1)?.role === "assistant";
}

function addMessage(drafts: Draft[], { role, content }: MessageBody, place: string): void {
  if (typeof content === "string") {
    addText(draftOf(role, drafts), content);
    return;
  }
  for (const [i, block] of content.entries()) {
    if (block.type === "text") addText(draftOf(role, drafts), block.text);
    else if (block.type === "tool_result" && role === "user") drafts.push(resultOf(block));
    else if (block.type === "thinking" && role === "assistant") {
      const { thoughts } = draftOf(role, drafts);
      // Anthropic leaves the text out where the request says so.
      if (block.thinking !== "") thoughts.push(block.thinking);
    } else if (block.type === "redacted_thinking" && role === "assistant") draftOf(role, drafts);
    else if (block.type === "tool_use" && role === "assistant") {
      const { id, name, input } = block;
      draftOf(role, drafts).toolCalls.push({ id, name, arguments: JSON.stringify(input) });
    } else throw misplaced(block, role, `${place}.content.${i}`);
  }
}

/** The last message where it is of that role, else a new one behind it. */
function draftOf(role: Draft["role"], drafts: Draft[]): Draft {
  const last = drafts.at(-1);
  if (last?.role === role) return last;
  const draft: Draft = { role, parts: [], thoughts: [], toolCalls: [], toolCallId: null };
  drafts.push(draft);
  return draft;
}

function addText({ parts }: Draft, content: string | readonly TextPart[]): void {
  const texts = typeof content === "string" ? [content] : content.map(({ text }) => text);
  for (const text of texts) if (text !== "") parts.push({ type: "text", text });
}

type ResultBlock = Extract<MessageBlock, { type: "tool_result" }>;

/** A template knows no results that are errors: their text says so. */
function resultOf({ tool_use_id: toolCallId, content, is_error }: ResultBlock): Draft {
  const text = typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");
  const draft: Draft = { role: "tool", parts: [], thoughts: [], toolCalls: [], toolCallId };
  addText(draft, is_error === true ? `Error: ${text}` : text);
  return draft;
}

/** One block is a text, as most templates know it. */
function messageOf({ role, parts, thoughts, toolCalls, toolCallId }: Draft): ChatMessage {
  return {
    role,
    content: parts.length > 1 ? parts : (parts[0]?.text ?? ""),
    ...(thoughts.length > 0 && { reasoning: thoughts.join("\n") }),
    ...(toolCalls.length > 0 && { toolCalls }),
    ...(toolCallId !== null && { toolCallId }),
  };
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
