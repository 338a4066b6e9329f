/** The promise (test/conformance/identity.ts) of every small model and type, of all prompt lengths, and of the embedded model at all edges. */
import { range, testEmbedded, testIdentity } from "../conformance/identity.js";

testIdentity({ name: "tiny", dtype: "int8", referenceLengths: range(1, 64), referenceCuts: 20 });
testIdentity({ name: "odd", dtype: "f32", referenceLengths: range(1, 64), referenceCuts: 20 });
testIdentity({ name: "odd", dtype: "int8", referenceLengths: range(1, 64), referenceCuts: 20 });
testIdentity({ name: "tiny", dtype: "f32", referenceLengths: range(1, 64), referenceCuts: 20 });
testEmbedded({ edges: 3, everyBlocks: 1 });
