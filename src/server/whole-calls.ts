/** Calls of tools for APIs that have their arguments as objects. */
import type { ToolCall } from "../tools/tool.js";

export interface WholeCall {
  readonly id: string;
  readonly name: string;
  readonly input: object;
}

/** The calls whose arguments are whole: those of an answer that was cut may not be. */
export function wholeCalls(calls: readonly ToolCall[]): WholeCall[] {
  return calls.flatMap(({ id, name, arguments: text }) => {
    try {
      return [{ id, name, input: JSON.parse(text) }];
    } catch {
      return [];
    }
  });
}
