import { expect, it } from "vitest";
import { joinLayers, mixtureWords } from "./tensor-table.js";

const tensor = (name: string, shape = [4], dtype = "F32") => ({ name, shape, dtype, bytes: 16 });

it("joins the layers' equal tensors and nothing else", () => {
  const joined = joinLayers([
    ...[tensor("transformer.h.0.b"), tensor("transformer.h.10.b"), tensor("transformer.h.2.b", [5])],
    ...[
      tensor("transformer.h.1.b"),
      tensor("h.1.c"),
      tensor("h.2.c", [4], "F16"),
      tensor("wte"),
      tensor("wpe"),
    ],
  ]);
  expect(joined.map(({ name }) => name)).toEqual([
    ...["transformer.h.0,1,10.b", "transformer.h.2.b", "h.1.c", "h.2.c", "wte", "wpe"],
  ]);
  const deep = Array.from({ length: 200_000 }, (_, layer) => tensor(`h.${layer}.b`));
  expect(joinLayers(deep).map(({ name }) => name)).toEqual(["h.0…199999.b"]);
  expect(joinLayers([tensor("h.0.b"), tensor("h.1.b")]).map(({ name }) => name)).toEqual(["h.0…1.b"]);
});

it("joins layers of a mixture by their stretches", () => {
  const down = Array.from({ length: 12 }, (_, i) =>
    tensor(`blk.${i}.ffn_down.weight`, [4], i % 4 === 1 ? "Q6_K" : "Q4_K"),
  );
  expect(joinLayers(down).map(({ name, dtype }) => `${name} ${dtype}`)).toEqual([
    "blk.0,2…4,6…8,10,11.ffn_down.weight Q4_K",
    "blk.1,5,9.ffn_down.weight Q6_K",
  ]);
});

it("counts the types, those that take most first", () => {
  const one = (dtype: string, bytes: number) => ({ name: "a", dtype, shape: [1], bytes });
  expect(mixtureWords([one("F32", 1), one("Q6_K", 5), one("F32", 2), one("Q4_K", 9)])).toBe(
    "Q4_K 1, Q6_K 1, F32 2",
  );
  expect(mixtureWords([])).toBe("");
});
