/** A browser, or any other runtime without Node's modules: web addresses and `File`s. */
import { LastrowError } from "../errors.js";
import { openGivenFiles } from "../formats/given-files.js";
import { addressedFiles, parseAddress } from "../formats/url-files.js";
import type { Platform } from "./platform.js";

export const platform: Platform = {
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
  yieldToEventLoop() {
    // A message comes back at once; a timer would wait four milliseconds.
    return new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
  },
};
