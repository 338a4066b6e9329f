/**
 * Tools and calls as templates are handed them: in OpenAI's form, as transformers has it, with the arguments of calls as
 * what they say.
 */
import type { ToolCall, ToolDefinition } from "../tools/tool.js";
import { readArguments } from "./call-arguments.js";
import type { ChatMessage } from "./chat-template.js";

/** A message's part of calls, under the names that templates know. */
export interface TemplateCalls {
  readonly tool_calls?: readonly object[];
  readonly tool_call_id?: string;
  readonly name?: string;
}

/** The variable `tools`; null: there are none. */
export function templateTools(tools: readonly ToolDefinition[]): readonly object[] | null {
  if (tools.length === 0) return null;
  return tools.map(({ name, description, parameters }) => ({
    type: "function",
    function: {
      name,
      ...(description !== undefined && { description }),
      ...(parameters !== undefined && { parameters }),
    },
  }));
}

/** Mistral's templates take calls whose ids have nine letters and digits, and refuse others. */
const MISTRAL_ID = /^[a-zA-Z0-9]{9}$/;
const ASKS_FOR_MISTRAL_IDS = /\|\s*length\s*!=\s*9\b/;

/** What messages hand over of calls, in the order of the messages. */
export function templateCalls(messages: readonly ChatMessage[], source: string): TemplateCalls[] {
  const names = new Map<string, string>();
  const shownId = ASKS_FOR_MISTRAL_IDS.test(source) ? mistralIds(messages) : (id: string) => id;
  return messages.map(({ toolCalls = [], toolCallId, name }) => {
    for (const call of toolCalls) names.set(call.id, call.name);
    const called = toolCallId === undefined ? undefined : (name ?? names.get(toolCallId));
    return {
      ...(toolCalls.length > 0 && { tool_calls: toolCalls.map((call) => handed(call, shownId)) }),
      ...(toolCallId !== undefined && { tool_call_id: shownId(toolCallId) }),
      ...(called !== undefined && { name: called }),
    };
  });
}

function handed(call: ToolCall, shownId: (id: string) => string): object {
  const { id, name } = call;
  return {
    id: shownId(id),
    type: "function",
    function: { name, arguments: readArguments(call.arguments) },
  };
}

/** Ids that the template takes: those of the messages or, where one of them is none, a number for each. */
function mistralIds(messages: readonly ChatMessage[]): (id: string) => string {
  const ids = messages.flatMap(({ toolCalls = [], toolCallId }) => [
    ...toolCalls.map(({ id }) => id),
    ...(toolCallId === undefined ? [] : [toolCallId]),
  ]);
  if (ids.every((id) => MISTRAL_ID.test(id))) return (id) => id;
  const numbers = new Map([...new Set(ids)].map((id, i) => [id, String(i).padStart(9, "0")] as const));
  return (id) => numbers.get(id)!;
}
