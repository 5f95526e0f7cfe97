// Texts by which members tell each other what they refuse. They are wire format: real members compare them.

export const refusalTexts = {
  notFound: "membership: ID not found",
  notLearner: "membership: can only promote a learner member",
  notReady: "etcdserver: can only promote a learner member which is in sync with leader",
  compacted: "mvcc: required revision has been compacted",
  futureRevision: "mvcc: required revision is a future revision",
  leaseNotFound: "lease not found",
  applyTimeout: "waiting for node to catch up its applied index has timed out",
  notPrimary: "not a primary lessor",
} as const;
