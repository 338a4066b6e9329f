/** Says what is wrong with a JSON text, and where: fetched for texts that are refused. */
import { type ParseErrorCode, printParseErrorCode, visit } from "#jsonc-parser";
import { modelFileInvalid } from "../errors.js";
import { quoteValue } from "../quote-value.js";

/**
 * Refuses a text that is not a sound JSON object or list, as `parseJsonObject` says. The parser is recursive: the text must have
 * been bounded (`json-file.ts`).
 * @throws LastrowError `model_file_invalid`, with line and column (both from 1)
 */
export function refuseJson(
  text: string,
  fileName: string,
  kind: "object" | "list",
  forbiddenKeys: ReadonlySet<string>,
): never {
  /** Of each object and list around the place: its keys; null for a list. */
  const enclosing: (Set<string> | null)[] = [];

  function fail(what: string, line: number, character: number): never {
    throw modelFileInvalid(`${fileName} ${what} (line ${line + 1}, column ${character + 1}).`);
  }

  /** A value begins; only a container of the right kind may be the whole. */
  function expectPlace(found: "object" | "list" | null, line: number, character: number): void {
    if (enclosing.length === 0 && found !== kind) fail(`must hold a JSON ${kind}`, line, character);
  }

  visit(
    text,
    {
      onObjectBegin(_offset, _length, line, character) {
        expectPlace("object", line, character);
        enclosing.push(new Set());
      },
      onObjectProperty(property, _offset, _length, line, character) {
        if (forbiddenKeys.has(property))
          fail(`has the forbidden key ${quoteValue(property)}`, line, character);
        const keys = enclosing.at(-1);
        if (keys?.has(property)) fail(`has the key ${quoteValue(property)} twice`, line, character);
        keys?.add(property);
      },
      onObjectEnd() {
        enclosing.pop();
      },
      onArrayBegin(_offset, _length, line, character) {
        expectPlace("list", line, character);
        enclosing.push(null);
      },
      onArrayEnd() {
        enclosing.pop();
      },
      onLiteralValue(_value: unknown, _offset, _length, line, character) {
        expectPlace(null, line, character);
      },
      onError(code, _offset, _length, line, character) {
        fail(`is not valid JSON: ${describe(code)}`, line, character);
      },
    },
    { disallowComments: true },
  );
  throw modelFileInvalid(`${fileName} is not valid JSON.`);
}

/** The first key that comes twice in one object, of valid JSON; null: none does. */
export function repeatedKey(text: string): string | null {
  const keys: Set<string>[] = [];
  let repeated: string | null = null;
  visit(text, {
    onObjectBegin() {
      keys.push(new Set());
    },
    onObjectProperty(key) {
      const seen = keys.at(-1)!;
      if (seen.has(key)) repeated ??= key;
      seen.add(key);
    },
    onObjectEnd() {
      keys.pop();
    },
  });
  return repeated;
}

/** The library's `CloseBraceExpected` as "close brace expected". */
function describe(code: ParseErrorCode): string {
  return printParseErrorCode(code)
    .replace(/(?<=[a-z])(?=[A-Z])/g, " ")
    .toLowerCase();
}
