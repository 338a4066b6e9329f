/** A browser, or any other runtime without Node's modules: web addresses and `File`s. */

import { LastrowError } from "../errors.js";
import { shown } from "../option-checks.js";
import { openGivenFiles } from "./given-files.js";
import type { Platform } from "./platform.js";
import { addressedFiles, parseAddress } from "./url-files.js";
import { webSha256 } from "./web-digest.js";

async function noPaths(path: string | URL): Promise<never> {
  throw new LastrowError(
    "invalid_argument",
    `There are no files by path here (${shown(path)}): save without a path for a Blob, and restore a File, a Blob or bytes.`,
  );
}

export const platform: Platform = {
  hasKvTiers: false,
  startLimitedThread: async () => null,
  openFile: noPaths,
  replaceFile: noPaths,
  sha256: webSha256,
  installationKey: async () => null,
  async openModel(source, options) {
    if (source === undefined || source === "stories") {
      throw new LastrowError(
        "model_not_found",
        'A browser has no embedded model: import { stories } from "lastrow/stories" and call load(stories), or load a web address or a list of files.',
      );
    }
    if (typeof source === "string") {
      return addressedFiles(source, parseAddress(source), options);
    }
    return openGivenFiles(source, options);
  },
  async startEngineWorker() {
    // Bundlers look for these very words.
    const worker = new Worker(new URL("../engine/engine-worker.js", import.meta.url), { type: "module" });
    let end: (reason: string) => void = () => undefined;
    let isClosed = false;
    worker.onmessageerror = () => end("a message of it could not be read");
    worker.onerror = (event) => {
      event.preventDefault?.();
      end(event.message || "its code could not be loaded");
    };
    try {
      await new Promise<void>((resolve, reject) => {
        worker.onmessage = () => resolve();
        end = (reason) => reject(new Error(reason));
      });
    } catch (error) {
      worker.terminate();
      throw error;
    }
    end = () => undefined;
    return {
      isWorker: true,
      post: (message, transfer = []) => worker.postMessage(message, transfer),
      onMessage(listener) {
        worker.onmessage = ({ data }) => listener(data);
      },
      onLost(listener) {
        end = (reason) => {
          if (!isClosed) listener(reason);
        };
      },
      hold: () => undefined,
      async close() {
        isClosed = true;
        worker.terminate();
      },
    };
  },
};
