/** Model sources that mean the same on every platform. */

import { LastrowError } from "../errors.js";
import { ggufOfFolder } from "../formats/gguf-names.js";
import type { ModelFile, ModelFiles } from "../formats/model-files.js";
import { shown } from "../option-checks.js";
import {
  entryFiles,
  handleFiles,
  isFile,
  isFileList,
  isFolderEntry,
  isFolderHandle,
  listedFiles,
} from "./picked-files.js";
import type { ModelSource } from "./platform.js";
import { addressedFiles, type FetchOptions, openAddress as fetchAddress, parseAddress } from "./url-files.js";

/** Opens an address in a way of the platform's own; null leaves it to `fetch`. */
export type AddressOpener = (address: URL) => Promise<ModelFile | null>;

/**
 * Opens a source that is not a string.
 * @throws LastrowError `invalid_argument` when it is none of the kinds that `ModelSource` lists, or holds several models
 */
export async function openGivenFiles(
  source: Exclude<ModelSource, string>,
  options: FetchOptions,
  openAddress: AddressOpener = async () => null,
): Promise<ModelFiles> {
  if (source instanceof URL) return addressedFiles(source.href, source, options);
  if (typeof source === "object" && source !== null) {
    if (isNameless(source)) {
      throw new LastrowError(
        "invalid_argument",
        'A model is told apart by the names of its files, and bytes and a Blob have none; give new File([bytes], "model.gguf").',
      );
    }
    if (isFileList(source)) return listedFiles(source);
    if (isFile(source)) return listedFiles([source]);
    if (isFolderEntry(source)) return entryFiles(source);
    if (isFolderHandle(source)) return handleFiles(source);
    if (isModelFiles(source)) return source;
    return mappedFiles(source as Readonly<Record<string, string | URL>>, options, openAddress);
  }
  throw new LastrowError(
    "invalid_argument",
    `A model is a name, a folder, an address, a list of files or an object of addresses, not ${shown(source)}.`,
  );
}

/** Files by name, each with an address of its own. Called after the folder of the first. */
function mappedFiles(
  addresses: Readonly<Record<string, string | URL>>,
  options: FetchOptions,
  openAddress: AddressOpener,
): ModelFiles {
  const [first] = Object.values(addresses);
  const label = first === undefined ? "model" : parseAddress(first).pathname.split("/").at(-2) || "model";
  const listed = Object.keys(addresses).map((path) => ({ path, size: 0 }));
  return {
    label,
    ...ggufOfFolder(listed, label, "give the address of that file alone"),
    async open(name) {
      if (!Object.hasOwn(addresses, name)) return null;
      const address = parseAddress(addresses[name]);
      return (await openAddress(address)) ?? (await fetchAddress(name, address, options));
    },
  };
}

/** Contents without a name, where only a JavaScript program can give them. */
function isNameless(source: object): boolean {
  return (
    source instanceof ArrayBuffer || ArrayBuffer.isView(source) || (source instanceof Blob && !isFile(source))
  );
}

function isModelFiles(source: object): source is ModelFiles {
  return "open" in source && typeof source.open === "function";
}
