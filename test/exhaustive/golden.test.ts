/** The embedded model on the reference kernels against Hugging Face transformers. */
import { testGolden } from "../conformance/golden.js";

testGolden("stories", "reference");
