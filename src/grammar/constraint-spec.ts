/** What a text can be held to, as plain data. */
export type ConstraintSpec =
  /** JSON that fits a JSON Schema, which is given as JSON itself. */
  | { readonly kind: "schema"; readonly schema: string }
  /** A text that matches an ECMAScript pattern as a whole. */
  | { readonly kind: "regex"; readonly pattern: string };

/** Equal for equal specs, and for no others. */
export function specKey(spec: ConstraintSpec): string {
  return `${spec.kind} ${spec.kind === "schema" ? spec.schema : spec.pattern}`;
}
