/**
 * JSON from untrusted files. Stricter than `JSON.parse`, which takes the last of two equal keys in silence: here a
 * key that comes twice, or one that JavaScript gives a meaning of its own, is an error. The result has no prototype
 * at any level, so that a key is there only if the file has it.
 */
import { type ParseErrorCode, printParseErrorCode, visit } from "#jsonc-parser";
import { LastrowError } from "../errors.js";
import { quoteValue } from "../quote-value.js";

const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** A JSON object without a prototype. */
export type JsonObject = Record<string, unknown>;

/**
 * Parses a file that must hold one JSON object (RFC 8259; no comments, no trailing commas).
 * The parser is recursive, and makes up to 40 bytes of a character: the text must have been bounded (`json-file.ts`).
 *
 * @param text the whole file
 * @param fileName what messages call it
 * @returns the object; it and every object in it has a null prototype. A number too large for a double is Infinity.
 * @throws LastrowError `model_file_invalid`, with line and column (both from 1), on a syntax error, another value than
 *   an object at the top, a key that comes twice in one object, or a key `__proto__`, `constructor` or `prototype`
 */
export function parseJsonObject(text: string, fileName: string): JsonObject {
  return parse(text, fileName, "object") as JsonObject;
}

/** The same of a file that must hold one JSON list. */
export function parseJsonList(text: string, fileName: string): unknown[] {
  return parse(text, fileName, "list") as unknown[];
}

function parse(text: string, fileName: string, kind: "object" | "list"): JsonObject | unknown[] {
  let root: JsonObject | unknown[] | undefined;
  let key = "";
  const enclosing: (JsonObject | unknown[])[] = [];

  function fail(what: string, line: number, character: number): never {
    throw new LastrowError(
      "model_file_invalid",
      `${fileName} ${what} (line ${line + 1}, column ${character + 1}).`,
    );
  }

  function add(value: unknown, line: number, character: number): void {
    const container = enclosing.at(-1);
    if (container === undefined) fail(`must hold a JSON ${kind}`, line, character);
    if (Array.isArray(container)) container.push(value);
    else container[key] = value;
  }

  visit(
    text,
    {
      onObjectBegin(_offset, _length, line, character) {
        const object: JsonObject = Object.create(null);
        if (enclosing.length === 0 && kind === "object") root = object;
        else add(object, line, character);
        enclosing.push(object);
      },
      onObjectProperty(property, _offset, _length, line, character) {
        if (FORBIDDEN_KEYS.has(property))
          fail(`has the forbidden key ${quoteValue(property)}`, line, character);
        if (Object.hasOwn(enclosing.at(-1)!, property)) {
          fail(`has the key ${quoteValue(property)} twice`, line, character);
        }
        key = property;
      },
      onObjectEnd() {
        enclosing.pop();
      },
      onArrayBegin(_offset, _length, line, character) {
        const list: unknown[] = [];
        if (enclosing.length === 0 && kind === "list") root = list;
        else add(list, line, character);
        enclosing.push(list);
      },
      onArrayEnd() {
        enclosing.pop();
      },
      onLiteralValue(value: unknown, _offset, _length, line, character) {
        add(value, line, character);
      },
      onError(code, _offset, _length, line, character) {
        fail(`is not valid JSON: ${describe(code)}`, line, character);
      },
    },
    { disallowComments: true },
  );
  // `visit` reports an error for a text without a value, so a missing root cannot get here.
  return root!;
}

/** The library's `CloseBraceExpected` as "close brace expected". */
function describe(code: ParseErrorCode): string {
  return printParseErrorCode(code)
    .replace(/(?<=[a-z])(?=[A-Z])/g, " ")
    .toLowerCase();
}
