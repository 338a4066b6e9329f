/** A model whose engine runs in the test's own thread, where its inside can be looked at. */
import { startInProcess } from "../src/engine/in-process.js";
import { loadParts } from "../src/library/load.js";
import type { LoadOptions } from "../src/library/load-options.js";
import type { ModelSource } from "../src/platform/platform.js";

export async function loadInProcess(source?: ModelSource, options: LoadOptions = {}) {
  const { connection, host } = startInProcess();
  const parts = await loadParts(source, options, async () => connection);
  return { ...parts, core: host.core, host };
}
