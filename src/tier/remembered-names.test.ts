import { expect, test } from "vitest";
import { VirtualClock } from "../../test/tier/virtual-clock.js";
import { RememberedNames } from "./remembered-names.js";

test("names are remembered for a while, and no more than so many, the longest known goes first", async () => {
  const clock = new VirtualClock();
  const names = new RememberedNames(clock, { most: 3, forMs: 100 });
  for (const name of ["a", "b", "c"]) names.add(name);
  await clock.pass(50);
  names.add("a");
  names.add("d");
  const known = () => ["a", "b", "c", "d"].filter((name) => names.has(name));
  expect(known()).toEqual(["a", "c", "d"]);
  expect(names.size).toBe(3);
  await clock.pass(50);
  expect(known()).toEqual(["a", "d"]);
  names.forget("d");
  expect(known()).toEqual(["a"]);
  names.clear();
  expect(names.size).toBe(0);
});
