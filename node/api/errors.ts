// The errors a service answers with. Codes and texts are wire format: client libraries compare the texts,
// so this table is the one place that holds them. Numbers belong to the transport (grpc/status.ts).

/** The gRPC code names in the spelling of Go's codes package, which error texts and metric labels use. */
export const errorCodes = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

/** The wire number of a code is its position in `errorCodes`. */
export type ErrorCode = (typeof errorCodes)[number];

interface ErrorEntry {
  readonly code: ErrorCode;
  readonly message: string;
}

export const apiErrors = {
  emptyKey: { code: "InvalidArgument", message: "etcdserver: key is not provided" },
  keyNotFound: { code: "InvalidArgument", message: "etcdserver: key not found" },
  valueProvided: { code: "InvalidArgument", message: "etcdserver: value is provided" },
  leaseProvided: { code: "InvalidArgument", message: "etcdserver: lease is provided" },
  tooManyOps: { code: "InvalidArgument", message: "etcdserver: too many operations in txn request" },
  duplicateKey: { code: "InvalidArgument", message: "etcdserver: duplicate key given in txn request" },
  invalidClientApiVersion: { code: "InvalidArgument", message: "etcdserver: invalid client api version" },
  invalidSortOption: { code: "InvalidArgument", message: "etcdserver: invalid sort option" },
  compacted: { code: "OutOfRange", message: "etcdserver: mvcc: required revision has been compacted" },
  futureRevision: {
    code: "OutOfRange",
    message: "etcdserver: mvcc: required revision is a future revision",
  },
  noSpace: { code: "ResourceExhausted", message: "etcdserver: mvcc: database space exceeded" },
  requestTooLarge: { code: "InvalidArgument", message: "etcdserver: request is too large" },
  tooManyRequests: { code: "ResourceExhausted", message: "etcdserver: too many requests" },

  leaseNotFound: { code: "NotFound", message: "etcdserver: requested lease not found" },
  leaseExists: { code: "FailedPrecondition", message: "etcdserver: lease already exists" },
  leaseTtlTooLarge: { code: "OutOfRange", message: "etcdserver: too large lease TTL" },

  watchCanceled: { code: "Canceled", message: "etcdserver: watch canceled" },

  memberExists: { code: "FailedPrecondition", message: "etcdserver: member ID already exist" },
  peerUrlExists: { code: "FailedPrecondition", message: "etcdserver: Peer URLs already exists" },
  // A real member answers this text with Unknown, although client libraries list it as FailedPrecondition.
  notEnoughStartedMembers: {
    code: "Unknown",
    message: "etcdserver: re-configuration failed due to not enough started members",
  },
  badMemberUrls: { code: "InvalidArgument", message: "etcdserver: given member URLs are invalid" },
  memberNotFound: { code: "NotFound", message: "etcdserver: member not found" },
  memberNotLearner: {
    code: "FailedPrecondition",
    message: "etcdserver: can only promote a learner member",
  },
  learnerNotReady: {
    code: "FailedPrecondition",
    message: "etcdserver: can only promote a learner member which is in sync with leader",
  },
  tooManyLearners: {
    code: "FailedPrecondition",
    message: "etcdserver: too many learner members in cluster",
  },
  clusterIdMismatch: { code: "FailedPrecondition", message: "etcdserver: cluster ID mismatch" },

  rootUserNotExist: { code: "FailedPrecondition", message: "etcdserver: root user does not exist" },
  rootRoleNotExist: {
    code: "FailedPrecondition",
    message: "etcdserver: root user does not have root role",
  },
  userExists: { code: "FailedPrecondition", message: "etcdserver: user name already exists" },
  userEmpty: { code: "InvalidArgument", message: "etcdserver: user name is empty" },
  userNotFound: { code: "FailedPrecondition", message: "etcdserver: user name not found" },
  roleExists: { code: "FailedPrecondition", message: "etcdserver: role name already exists" },
  roleNotFound: { code: "FailedPrecondition", message: "etcdserver: role name not found" },
  roleEmpty: { code: "InvalidArgument", message: "etcdserver: role name is empty" },
  authFailed: {
    code: "InvalidArgument",
    message: "etcdserver: authentication failed, invalid user ID or password",
  },
  permissionNotGiven: { code: "InvalidArgument", message: "etcdserver: permission not given" },
  permissionDenied: { code: "PermissionDenied", message: "etcdserver: permission denied" },
  roleNotGranted: { code: "FailedPrecondition", message: "etcdserver: role is not granted to the user" },
  permissionNotGranted: {
    code: "FailedPrecondition",
    message: "etcdserver: permission is not granted to the role",
  },
  authNotEnabled: { code: "FailedPrecondition", message: "etcdserver: authentication is not enabled" },
  invalidAuthToken: { code: "Unauthenticated", message: "etcdserver: invalid auth token" },
  invalidAuthManagement: { code: "InvalidArgument", message: "etcdserver: invalid auth management" },
  authOldRevision: { code: "InvalidArgument", message: "etcdserver: revision of auth store is old" },

  noLeader: { code: "Unavailable", message: "etcdserver: no leader" },
  notLeader: { code: "FailedPrecondition", message: "etcdserver: not leader" },
  leaderChanged: { code: "Unavailable", message: "etcdserver: leader changed" },
  notCapable: { code: "FailedPrecondition", message: "etcdserver: not capable" },
  stopped: { code: "Unavailable", message: "etcdserver: server stopped" },
  timeout: { code: "Unavailable", message: "etcdserver: request timed out" },
  timeoutLeaderFailure: {
    code: "Unavailable",
    message: "etcdserver: request timed out, possibly due to previous leader failure",
  },
  timeoutConnectionLost: {
    code: "Unavailable",
    message: "etcdserver: request timed out, possibly due to connection lost",
  },
  timeoutWaitAppliedIndex: {
    code: "Unavailable",
    message: "etcdserver: request timed out, waiting for the applied index took too long",
  },
  timeoutLeaderTransfer: {
    code: "Unknown",
    message: "etcdserver: request timed out, leader transfer took too long",
  },
  unhealthy: { code: "Unavailable", message: "etcdserver: unhealthy cluster" },
  corrupt: { code: "DataLoss", message: "etcdserver: corrupt cluster" },
  notSupportedForLearner: {
    code: "FailedPrecondition",
    message: "etcdserver: rpc not supported for learner",
  },
  badLeaderTransferee: { code: "FailedPrecondition", message: "etcdserver: bad leader transferee" },

  wrongDowngradeVersionFormat: {
    code: "InvalidArgument",
    message: "etcdserver: wrong downgrade target version format",
  },
  invalidDowngradeTargetVersion: {
    code: "InvalidArgument",
    message: "etcdserver: invalid downgrade target version",
  },
  clusterVersionUnavailable: {
    code: "FailedPrecondition",
    message: "etcdserver: cluster version not found during downgrade",
  },
  downgradeInProcess: {
    code: "FailedPrecondition",
    message: "etcdserver: cluster has a downgrade job in progress",
  },
  noInflightDowngrade: { code: "FailedPrecondition", message: "etcdserver: no inflight downgrade job" },

  // The text of the Go library's expired deadline: what etcd answers for a request that found no leader.
  notProposed: { code: "DeadlineExceeded", message: "context deadline exceeded" },
  canceled: { code: "Canceled", message: "etcdserver: request canceled" },
  deadlineExceeded: { code: "DeadlineExceeded", message: "etcdserver: context deadline exceeded" },
} as const satisfies Readonly<Record<string, ErrorEntry>>;

export type ApiErrorName = keyof typeof apiErrors;

/** What a handler throws or rejects with. It goes to the client as it is. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A fresh error of the table. */
export function apiError(name: ApiErrorName): ApiError {
  const { code, message } = apiErrors[name];
  return new ApiError(code, message);
}

/** The form a Go client prints; a watch's cancel reason carries it, and clients compare it. */
export function rpcErrorText({ code, message }: ErrorEntry): string {
  return `rpc error: code = ${code} desc = ${message}`;
}
