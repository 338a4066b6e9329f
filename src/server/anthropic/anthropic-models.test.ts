/** Pages of models. */
import { expect, test } from "vitest";
import { anthropicModelList } from "./anthropic-models.js";

const MODELS = ["a", "b", "c"].map((id) => ({ id, created: 1_700_000_000, contextLength: 512 }));

test("all of them, some from the beginning, behind one, before one", () => {
  const page = (query: Record<string, string>) => {
    const { data, has_more, first_id, last_id } = anthropicModelList(MODELS, query);
    expect([first_id, last_id]).toEqual([data[0]?.id ?? null, data.at(-1)?.id ?? null]);
    return [data.map(({ id }) => id).join(""), has_more];
  };
  expect(page({})).toEqual(["abc", false]);
  expect(page({ limit: "2" })).toEqual(["ab", true]);
  expect(page({ limit: "2", after_id: "b" })).toEqual(["c", false]);
  expect(page({ limit: "1", before_id: "c" })).toEqual(["b", true]);
  expect(page({ after_id: "c" })).toEqual(["", false]);
  for (const limit of ["0", "-1", "1001", "x", ""]) expect(() => page({ limit })).toThrow(/from 1 to 1000/);
  expect(() => page({ after_id: "d" })).toThrow(/after_id/);
  expect(anthropicModelList(MODELS, {}).data[0]).toEqual({
    ...{ type: "model", id: "a", display_name: "a", created_at: "2023-11-14T22:13:20.000Z" },
    ...{ max_input_tokens: 512, max_tokens: 512 },
  });
});
