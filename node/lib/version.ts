// The two versions. The compatible one is what clients and tools read where etcd would name its own;
// the build version is ours and moves on its own.

/** The etcd release this member behaves as. */
export const compatibleVersion = "3.6.14";

/** The cluster version that release decides on when all members run it. */
export const compatibleClusterVersion = "3.6.0";

/** The layout version of the store, as Status and /version name it. */
export const storageVersion = "3.6.0";

/** The version of this program. A test holds it equal to package.json. */
export const buildVersion = "0.1.0";
