import { expect, it } from "vitest";
import { joinLayers } from "./inspect.js";

const tensor = (name: string, shape = [4], dtype = "F32") => ({ name, shape, dtype });

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
