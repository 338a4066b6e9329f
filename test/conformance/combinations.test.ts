/** The suites of the kernels run over every combination of instructions that exists here: none may be missing silently. */
import { expect, test } from "vitest";
import { RESERVED_BYTES } from "../../src/kernels/memory-plan.js";
import { backends } from "./kernel-suite.js";

test("every combination that this Node has is among the implementations, and computes as it is called", async () => {
  const major = Number.parseInt(process.versions.node, 10);
  const found: string[] = [];
  for (const backend of backends.slice(1)) {
    const kernels = await backend.create(RESERVED_BYTES);
    found.push(`${kernels.vectors} ${kernels.dots}`);
    expect(kernels.notices).toEqual([]);
    await kernels.dispose();
  }
  const everywhere = ["128 strict", "256 strict", "128 strict"];
  const relaxed = major >= 22 ? ["128 relaxed", "128 relaxed"] : [];
  const wide = major >= 24 && process.arch === "x64" ? ["256 strict", "256 relaxed", "256 relaxed"] : [];
  expect(found).toEqual([...everywhere, ...relaxed, ...wide]);
});
