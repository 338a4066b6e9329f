import { expect, it } from "vitest";
import { familyConfig, readConfig } from "../../test/config-texts.js";
import { familyNames } from "../../test/fixture-models.js";
import { expectArchitecture } from "../architectures/known-architectures.js";
import { traceForward } from "./trace-forward.js";

it.each(familyNames)("names what a pass of %s makes by the weights that it is made with", async (name) => {
  const config = await readConfig(familyConfig(name));
  const { tensors } = traceForward(config, { tokens: [1, 2, 3, 4, 5], numCachedTokens: 2, logits: "last" });
  const names = tensors.map((tensor) => tensor.name);
  expect(new Set(names).size).toBe(names.length);
  const untied = { ...config.decoder, tied: false };
  for (const { name: stored, traceName, to } of expectArchitecture(config.modelType).tensors(untied)) {
    if (to.endsWith(".bias")) continue;
    expect(names).toContain(traceName ?? stored.replace(/\.weight$/, ""));
  }
  expect(names.at(-1)).toMatch(/^(lm_head|embed_out)(\.capped|\.scaled)?$/);
  expect(tensors.at(-1)).toMatchObject({ rows: 1, cols: config.vocabSize });
});
