import { expect, it } from "vitest";
import { blockBar } from "./logits.js";

it("bars are as long as their share, to an eighth of a character", () => {
  expect([0, 0.01, 0.125, 0.5, 0.999, 1].map((share) => blockBar(share, 4))).toEqual([
    ...["", "", "▌", "██", "████", "████"],
  ]);
});
