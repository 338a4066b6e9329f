/** How JSON is written between its values: values themselves are written as `JSON.stringify` writes them. */
export interface JsonStyle {
  readonly comma: string;
  readonly colon: string;
}

export const JSON_STYLES = {
  compact: { comma: ",", colon: ":" },
  /** As Python's `json.dumps` writes it, and so chat templates. */
  spaced: { comma: ", ", colon: ": " },
} as const satisfies Readonly<Record<string, JsonStyle>>;

/** A value of JSON as text. */
export function jsonText(value: unknown, style: JsonStyle): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((one) => jsonText(one, style)).join(style.comma)}]`;
  const pairs = Object.entries(value).map(
    ([name, one]) => `${JSON.stringify(name)}${style.colon}${jsonText(one, style)}`,
  );
  return `{${pairs.join(style.comma)}}`;
}
