/**
 * Where a model of this page comes from, as what can be handed to a worker: an address, addresses by name, or files that a
 * person picked or dropped. Their places in the folder that they came from go with them.
 */

export type PageSource = string | Readonly<Record<string, string>> | readonly File[];

/** A source on its way to a worker: a clone of a `File` need not have its place in a folder any more. */
export type SentSource =
  | string
  | Readonly<Record<string, string>>
  | readonly { readonly file: File; readonly path: string }[];

export function sentSource(source: PageSource): SentSource {
  if (!isFiles(source)) return source;
  return source.map((file) => ({ file, path: file.webkitRelativePath }));
}

export function receivedSource(source: SentSource): PageSource {
  if (typeof source === "string" || !Array.isArray(source)) return source as PageSource;
  return source.map(({ file, path }) => placed(file, path));
}

/** How deep a dropped folder is looked through, and how many files of it are taken. */
const DEEPEST = 3;
const MOST_FILES = 5000;

/** All that was dropped: files, and those in folders. To be called while the event is. */
export function droppedFiles({ items, files }: DataTransfer): Promise<readonly File[]> {
  const entries = Array.from(items, (item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (!entries.some(({ isDirectory }) => isDirectory)) return Promise.resolve([...files]);
  return filesOf(entries);
}

async function filesOf(entries: readonly FileSystemEntry[]): Promise<File[]> {
  const found: File[] = [];
  let level = entries;
  for (let depth = 0; depth <= DEEPEST && level.length > 0 && found.length < MOST_FILES; depth++) {
    const below: FileSystemEntry[] = [];
    for (const entry of level) {
      if (entry.isDirectory) below.push(...(await entriesOf(entry as FileSystemDirectoryEntry)));
      else found.push(placed(await fileOf(entry as FileSystemFileEntry), entry.fullPath.replace(/^\//, "")));
    }
    level = below;
  }
  return found;
}

/** They come in portions. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const portion = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (portion.length === 0) return all;
    all.push(...portion);
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

/** A file that is known to lie somewhere in a folder. */
function placed(file: File, path: string): File {
  return Object.defineProperty(file, "webkitRelativePath", { value: path, configurable: true });
}

function isFiles(source: PageSource): source is readonly File[] {
  return Array.isArray(source);
}
