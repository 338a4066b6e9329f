/** `tojson` as transformers defines it: Python's `json.dumps`, with its spaces, and non-ASCII text as it is. */
import { Text } from "./text.js";
import {
  type Args,
  compare,
  Dict,
  Float,
  isTrue,
  List,
  numberOf,
  originsIn,
  repr,
  str,
  TextRoom,
  typeName,
  type Value,
} from "./values.js";

interface Style {
  readonly isAscii: boolean;
  readonly indent: string | null;
  readonly between: string;
  readonly afterKey: string;
  readonly isSorted: boolean;
  readonly room: TextRoom;
}

/** @throws Error for what JSON cannot say */
export function toJson(value: Value, args: Args): Text {
  const [ascii, indent, separators, sorted] = args.take("ensure_ascii", "indent", "separators", "sort_keys");
  const width = indent === undefined || indent === null ? null : indentText(indent);
  let [between, afterKey] = [width === null ? ", " : ",", ": "];
  if (separators instanceof List) [between, afterKey] = separators.items.map((item) => str(item).value);
  const style = {
    isAscii: ascii !== undefined && isTrue(ascii),
    indent: width,
    between,
    afterKey,
    isSorted: sorted !== undefined && isTrue(sorted),
    room: new TextRoom(),
  };
  return Text.from(write(value, style, "\n"), originsIn(value));
}

function indentText(indent: Value): string {
  if (indent instanceof Text) return indent.value;
  return Text.of(" ").repeat(numberOf(indent) ?? 0).value;
}

function write(value: Value, style: Style, line: string): string {
  style.room.take(1);
  if (value === null) return "null";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number") return repr(value);
  if (value instanceof Float) return nonFinite(value.value) ?? value.shown;
  if (value instanceof Text) return quote(value.value, style);
  const inner = line + (style.indent ?? "");
  const wrap = (open: string, parts: readonly string[], close: string) => {
    if (parts.length === 0) return open + close;
    const around = style.between.length + (style.indent === null ? 0 : inner.length);
    style.room.take((parts.length + 1) * around);
    if (style.indent === null) return open + parts.join(style.between) + close;
    return open + inner + parts.join(style.between + inner) + line + close;
  };
  if (value instanceof List && value.isIndexed) {
    return wrap(
      "[",
      value.items.map((item) => write(item, style, inner)),
      "]",
    );
  }
  if (value instanceof Dict) {
    const entries = value.entries();
    if (style.isSorted) entries.sort(([a], [b]) => compare(a, b));
    return wrap(
      "{",
      entries.map(([key, item]) => {
        style.room.take(style.afterKey.length);
        return keyText(key, style) + style.afterKey + write(item, style, inner);
      }),
      "}",
    );
  }
  throw new Error(`Object of type ${typeName(value)} is not JSON serializable`);
}

function keyText(key: Value, style: Style): string {
  if (key instanceof Text) return quote(key.value, style);
  if (key === null || typeof key === "boolean" || numberOf(key) !== null) return `"${write(key, style, "")}"`;
  throw new Error(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function nonFinite(value: number): string | null {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? null : value < 0 ? "-Infinity" : "Infinity";
}

function quote(text: string, { isAscii, room }: Style): string {
  room.take(2 + text.length);
  const json = JSON.stringify(text);
  if (!isAscii) return json;
  return json.replace(/[\x7f-\uffff]/g, (unit) => {
    // json.dumps takes U+007F for ASCII.
    return unit === "\x7f" ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
