import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LastrowError } from "../errors.js";
import { countJson } from "./json-counts.js";
import { type JsonObject, parseJsonObject } from "./strict-json.js";

/** As `json-file.ts` has it parsed. */
function parsed(text: string, fileName: string): Promise<JsonObject> {
  return parseJsonObject({ text, members: countJson(new TextEncoder().encode(text)).members }, fileName);
}

async function messageOf(text: string): Promise<string> {
  try {
    await parsed(text, "config.json");
  } catch (error) {
    expect(error).toBeInstanceOf(LastrowError);
    expect((error as LastrowError).code).toBe("model_file_invalid");
    return (error as LastrowError).message;
  }
  throw new Error(`accepted: ${text.slice(0, 100)}`);
}

/** The value with ordinary prototypes, so that it compares equal to what `JSON.parse` gives. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

describe("parseJsonObject", () => {
  it("gives the values of the file, without prototypes", async () => {
    const object = await parsed(
      '{"a": [1, {"b": null}, []], "c": {"d": "\\u00e9"}, "": -1.5e3, "7": true}',
      "f",
    );
    expect(plain(object)).toEqual({ a: [1, { b: null }, []], c: { d: "é" }, "": -1500, "7": true });
    expect(Object.getPrototypeOf(object)).toBeNull();
    expect(Object.getPrototypeOf(object.c)).toBeNull();
    expect(object.toString).toBeUndefined();
  });

  it.each([
    ['{"a": 1,\n "b": 2,\n  "a": 3}', 'config.json has the key "a" twice (line 3, column 3).'],
    ['{"x": [{"n": 1, "n": 1}]}', 'config.json has the key "n" twice (line 1, column 17).'],
    ['{"a": 1, "\\u0061": 2}', 'config.json has the key "a" twice (line 1, column 10).'],
    ['{"x": {"__proto__": {}}}', 'config.json has the forbidden key "__proto__" (line 1, column 8).'],
    ['{"\\u005f_proto__": {}}', 'config.json has the forbidden key "__proto__" (line 1, column 2).'],
    ['{"constructor": 1}', 'config.json has the forbidden key "constructor" (line 1, column 2).'],
    ['[{"prototype": 1}]', "config.json must hold a JSON object (line 1, column 1)."],
    ['{"prototype": 1}', 'config.json has the forbidden key "prototype" (line 1, column 2).'],
    ["null", "config.json must hold a JSON object (line 1, column 1)."],
    [" 1", "config.json must hold a JSON object (line 1, column 2)."],
    ["", "config.json is not valid JSON: value expected (line 1, column 1)."],
    ['{"a": 1', "config.json is not valid JSON: close brace expected (line 1, column 8)."],
    ['{"a": 1,}', "config.json is not valid JSON: property name expected (line 1, column 9)."],
    ['{"a": 1} x', "config.json is not valid JSON: invalid symbol (line 1, column 10)."],
    ['{"a": 1 // one\n}', "config.json is not valid JSON: invalid comment token (line 1, column 9)."],
    ['{"a": NaN}', "config.json is not valid JSON: invalid symbol (line 1, column 7)."],
  ])("refuses %j and says where", async (text, message) => {
    expect(await messageOf(text)).toBe(message);
  });

  it("takes what JSON.parse takes, apart from repeated and forbidden keys", async () => {
    const mutated = fc
      .tuple(
        fc.json({ maxDepth: 4 }),
        fc.nat(),
        fc.nat(3),
        fc.constantFrom("", ..."{}[],:\"\\ \n-+.eE0x1/'\u0001"),
      )
      .map(([json, at, removed, inserted]) => {
        const text = `{"k":${json}}`;
        const from = at % text.length;
        return text.slice(0, from) + inserted + text.slice(from + removed);
      });
    await fc.assert(
      fc.asyncProperty(mutated, async (text) => {
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          expected = undefined;
        }
        if (expected === undefined) {
          await messageOf(text);
          return;
        }
        let actual: unknown;
        try {
          actual = await parsed(text, "f");
        } catch (error) {
          expect((error as LastrowError).message).toMatch(/twice|forbidden|must hold a JSON object/);
          return;
        }
        expect(plain(actual)).toEqual(plain(expected));
      }),
      { numRuns: 2000 },
    );
  });
});
