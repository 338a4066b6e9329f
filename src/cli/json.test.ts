import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LastrowError } from "../errors.js";
import { type Json, toJson } from "./json.js";

describe("toJson", () => {
  it("keeps every float, and −0", () => {
    expect(toJson(Float32Array.of(-0, 0, 0.1, 1e-45, 3.4028234663852886e38))).toBe(
      "[-0,0,0.10000000149011612,1.401298464324817e-45,3.4028234663852886e+38]",
    );
    fc.assert(
      fc.property(fc.float32Array({ noNaN: true, noDefaultInfinity: true }), (values) => {
        const read = Float32Array.from(JSON.parse(toJson(values)));
        expect(new Uint32Array(read.buffer)).toEqual(new Uint32Array(values.slice().buffer));
      }),
    );
  });

  it("reads back as what it was", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "grapheme" }), (value) => {
        expect(JSON.parse(toJson(value as Json))).toEqual(value);
      }),
    );
    // fast-check's own texts of any code points take it a second to prepare; these have halves of pairs too.
    const codeUnit = fc.nat({ max: 0xffff }).map((unit) => String.fromCharCode(unit));
    fc.assert(
      fc.property(fc.string({ unit: codeUnit }), (text) => {
        expect(JSON.parse(toJson({ [text]: text }))).toEqual({ [text]: text });
      }),
    );
  });

  it("leaves undefined members out and keeps the order of the others", () => {
    expect(toJson({ b: 1, gone: undefined, a: [null, true, "\u2028\n"] })).toBe(
      '{"b":1,"a":[null,true,"\\u2028\\n"]}',
    );
  });

  it("refuses what JSON has no number for", () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(() => toJson({ row: Float32Array.of(1, value) })).toThrow(LastrowError);
    }
  });
});
