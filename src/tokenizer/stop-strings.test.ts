import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StopStrings } from "./stop-strings.js";

/** By definition: the least end at which a stop string is complete; of those that end there, the longest. */
function cutByDefinition(text: string, stops: readonly string[]): { text: string; stopped: string | null } {
  for (let end = 1; end <= text.length; end++) {
    const ending = stops
      .filter((stop) => text.slice(0, end).endsWith(stop))
      .sort((a, b) => b.length - a.length);
    if (ending.length > 0) return { text: text.slice(0, end - ending[0].length), stopped: ending[0] };
  }
  return { text, stopped: null };
}

function cutInPieces(pieces: readonly string[], stops: readonly string[]) {
  const matcher = new StopStrings(stops);
  let emitted = "";
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece);
    emitted += text;
    if (stopped !== null) return { text: emitted, stopped };
  }
  return { text: emitted + matcher.flush(), stopped: null };
}

describe("StopStrings", () => {
  test("cuts as the definition says, however the text arrives", () => {
    const few = fc
      .array(fc.constantFrom("a", "b", "c", "\n"), { maxLength: 30 })
      .map((characters) => characters.join(""));
    const stops = fc.array(
      few.filter((stop) => stop.length > 0).map((stop) => stop.slice(0, 4)),
      { minLength: 1, maxLength: 4 },
    );
    fc.assert(
      fc.property(few, stops, fc.array(fc.nat({ max: 30 }), { maxLength: 8 }), (text, stopList, cuts) => {
        const places = [
          0,
          ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b),
          text.length,
        ];
        const pieces = places.slice(1).map((place, i) => text.slice(places[i], place));
        expect(cutInPieces(pieces, stopList)).toEqual(cutByDefinition(text, stopList));
      }),
      { numRuns: 2000 },
    );
  });

  test("holds back no more than could begin a stop string", () => {
    const matcher = new StopStrings(["END", "\n\n"]);
    expect(matcher.push("The E")).toEqual({ text: "The ", stopped: null });
    expect(matcher.push("N")).toEqual({ text: "", stopped: null });
    expect(matcher.push("T\n")).toEqual({ text: "ENT", stopped: null });
    expect(matcher.push("x")).toEqual({ text: "\nx", stopped: null });
    expect(matcher.push("EN")).toEqual({ text: "", stopped: null });
    expect(matcher.flush()).toBe("EN");
  });

  test("half a character in a stop string does not cut one in the text", () => {
    expect(cutInPieces(["a🙂b"], ["\ude42"])).toEqual({ text: "a🙂b", stopped: null });
    expect(cutInPieces(["a\ufffdb"], ["\ude42"])).toEqual({ text: "a", stopped: "\ufffd" });
  });

  test("refuses a stop string of no characters", () => {
    expect(() => new StopStrings(["a", ""])).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  });
});
