/** Every family, each type of K and V: what one engine has computed, another takes from a tier in a folder. */
import { describe, test } from "vitest";
import { KV_DTYPES } from "../../src/kernels/kv-types.js";
import { expectShared, sharingModels } from "../tier/shared-blocks.js";

describe.each(KV_DTYPES)("K and V in %s", (kvDtype) => {
  test.each(sharingModels)("%s: only what is missing is computed, with the same bits", async (name) => {
    await expectShared(name, kvDtype);
  });
});
