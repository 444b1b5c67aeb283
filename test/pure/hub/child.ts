// Fetches a repository for a test, in a process of its own: child.ts ENDPOINT CACHE ID
import { snapshotDownload } from "../../../src/hub/index.js";

const [endpoint, cacheDir, id] = process.argv.slice(2);
process.stdout.write(await snapshotDownload(id!, { endpoint, cacheDir }));
