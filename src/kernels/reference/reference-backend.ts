/** What is known of the reference kernels before their memory exists. They themselves are loaded when they are made: few ask for them. */
import { fetchedCode } from "../../fetched-code.js";
import type { KernelBackend } from "../kernels.js";
import { COLUMN_BYTES } from "./column-bytes.js";

export const referenceBackend: KernelBackend = {
  name: "reference",
  threads: 1,
  scoreRows: 1,
  packedBytes: (inFeatures, outFeatures, dtype) => outFeatures * COLUMN_BYTES[dtype](inFeatures),
  scratchFloats: () => 0,
  async create(bytes) {
    const { createReferenceKernels } = await fetchedCode(import("./reference-kernels.js"));
    return createReferenceKernels(bytes);
  },
};
