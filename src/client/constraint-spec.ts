/** What a text can be held to, as plain data. */
import type { ToolsSpec } from "../tools/call-grammar.js";

export type ConstraintSpec =
  /** JSON that fits a JSON Schema, which is given as JSON itself. */
  | { readonly kind: "schema"; readonly schema: string }
  /** A text that matches an ECMAScript pattern as a whole. */
  | { readonly kind: "regex"; readonly pattern: string }
  /** A text of a grammar in GBNF. */
  | { readonly kind: "grammar"; readonly text: string }
  /** A text that may call tools. */
  | { readonly kind: "tools"; readonly tools: ToolsSpec }
  /** Thoughts that have begun, up to a text that ends them, and then what the answer is held to. */
  | { readonly kind: "thoughts"; readonly end: string; readonly answer: ConstraintSpec };

/** Equal for equal specs, and for no others. */
export function specKey(spec: ConstraintSpec): string {
  switch (spec.kind) {
    case "schema":
      return `schema ${spec.schema}`;
    case "regex":
      return `regex ${spec.pattern}`;
    case "grammar":
      return `grammar ${spec.text}`;
    case "tools":
      return `tools ${JSON.stringify(spec.tools)}`;
    case "thoughts":
      return `thoughts ${JSON.stringify(spec.end)} ${specKey(spec.answer)}`;
  }
}
