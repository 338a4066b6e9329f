import { InvalidArgumentError } from "commander";
import { describe, expect, it } from "vitest";
import { decimal, logitBias, stopTexts, templateVariable, tokenIds, wholeNumber } from "./options.js";

describe("option values", () => {
  it("numbers are decimal, and nothing but", () => {
    expect(["0.8", "-1", "+.5", "1.", "2e-3", " 1 "].map(decimal)).toEqual([0.8, -1, 0.5, 1, 0.002, 1]);
    for (const text of ["", " ", "abc", "0x10", "1_000", "Infinity", "NaN", "1,5", "--"]) {
      expect(() => decimal(text), text).toThrow(InvalidArgumentError);
    }
    expect(["0", "007", "9007199254740991"].map(wholeNumber)).toEqual([0, 7, 2 ** 53 - 1]);
    for (const text of ["", "-1", "1.0", "1e3", "9007199254740992"]) {
      expect(() => wholeNumber(text), text).toThrow(InvalidArgumentError);
    }
  });

  it("token ids stand between commas or spaces", () => {
    for (const text of ["1,2,3", "1 2 3", " 1, 2 ,3 ", "1\n2\n3\n"])
      expect(tokenIds(text)).toEqual([1, 2, 3]);
    for (const text of ["", ",", "1,", ",1", "1,,2", "1;2", "-1", "1.5", "99999999999999999999"]) {
      expect(() => tokenIds(text), text).toThrow(InvalidArgumentError);
    }
  });

  it("variables of a template add up, and are JSON where they can be", () => {
    const all = ["enable_thinking=false", "n=3", "a=x=y", 'quoted="3"', "date= 1 May", "list=[1]", "n=4"];
    const [first, ...others] = all;
    expect(others.reduce((before, text) => templateVariable(text, before), templateVariable(first))).toEqual({
      ...{ enable_thinking: false, n: 4, a: "x=y", quoted: "3", date: " 1 May", list: [1] },
    });
    expect(templateVariable("empty=")).toEqual({ empty: "" });
    for (const text of ["", "=", "=1", "a", "a b=1", "1a=1", '{"a": 1}']) {
      expect(() => templateVariable(text), text).toThrow(InvalidArgumentError);
    }
  });

  it("logit biases add up over several options, the last one wins", () => {
    const biases = logitBias("3=-inf,1:0", logitBias("1=1.5,2=-2e1"));
    expect([...biases]).toEqual([
      [1, 0],
      [2, -20],
      [3, Number.NEGATIVE_INFINITY],
    ]);
    for (const text of ["", "1", "1=", "=1", "a=1", "1=inf", "1=NaN", "1=1,"]) {
      expect(() => logitBias(text), text).toThrow(InvalidArgumentError);
    }
  });

  it("stop texts understand four escapes and leave the rest alone", () => {
    expect(stopTexts("a\\n\\t\\r\\\\n\\x\\", ["b"])).toEqual(["b", "a\n\t\r\\n\\x\\"]);
  });
});
