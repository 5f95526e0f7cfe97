// The plain types of the messages, and the tables of their enums. An enum field is a plain number, so that a
// number no table knows reaches the handler, which answers it with its own error.

import type * as auth from "../../proto/gen/authpb/auth_pb.ts";
import type * as server from "../../proto/gen/etcdserverpb/etcdserver_pb.ts";
import type * as internal from "../../proto/gen/etcdserverpb/raft_internal_pb.ts";
import type * as rpc from "../../proto/gen/etcdserverpb/rpc_pb.ts";
import type * as health from "../../proto/gen/grpc/health/v1/health_pb.ts";
import type * as membership from "../../proto/gen/membershippb/membership_pb.ts";
import type * as kv from "../../proto/gen/mvccpb/kv_pb.ts";
import type * as election from "../../proto/gen/v3electionpb/v3election_pb.ts";
import type * as lock from "../../proto/gen/v3lockpb/v3lock_pb.ts";
import type { Outgoing, Plain } from "./plain.ts";
import type { SharedRange } from "./shared-range.ts";

export { Permission_Type as PermissionType } from "../../proto/gen/authpb/auth_pb.ts";
export {
  AlarmRequest_AlarmAction as AlarmAction,
  AlarmType,
  Compare_CompareResult as CompareResult,
  Compare_CompareTarget as CompareTarget,
  DowngradeRequest_DowngradeAction as DowngradeAction,
  RangeRequest_SortOrder as SortOrder,
  RangeRequest_SortTarget as SortTarget,
  WatchCreateRequest_FilterType as WatchFilter,
} from "../../proto/gen/etcdserverpb/rpc_pb.ts";
export { HealthCheckResponse_ServingStatus as ServingStatus } from "../../proto/gen/grpc/health/v1/health_pb.ts";
export { Event_EventType as EventType } from "../../proto/gen/mvccpb/kv_pb.ts";

export type KeyValue = Plain<kv.KeyValue>;
export type Event = Plain<kv.Event>;

export type UserAddOptions = Plain<auth.UserAddOptions>;
export type User = Plain<auth.User>;
export type Permission = Plain<auth.Permission>;
export type Role = Plain<auth.Role>;

export type ResponseHeader = Plain<rpc.ResponseHeader>;
export type RangeRequest = Plain<rpc.RangeRequest>;
export type RangeResponse = Plain<rpc.RangeResponse>;
export type RangeStreamResponse = Plain<rpc.RangeStreamResponse>;
export type PutRequest = Plain<rpc.PutRequest>;
export type PutResponse = Plain<rpc.PutResponse>;
export type DeleteRangeRequest = Plain<rpc.DeleteRangeRequest>;
export type DeleteRangeResponse = Plain<rpc.DeleteRangeResponse>;
export type RequestOp = Plain<rpc.RequestOp>;
export type ResponseOp = Plain<rpc.ResponseOp>;
export type Compare = Plain<rpc.Compare>;
export type TxnRequest = Plain<rpc.TxnRequest>;
export type TxnResponse = Plain<rpc.TxnResponse>;
export type CompactionRequest = Plain<rpc.CompactionRequest>;
export type CompactionResponse = Plain<rpc.CompactionResponse>;
export type HashRequest = Plain<rpc.HashRequest>;
export type HashKVRequest = Plain<rpc.HashKVRequest>;
export type HashKVResponse = Plain<rpc.HashKVResponse>;
export type HashResponse = Plain<rpc.HashResponse>;
export type SnapshotRequest = Plain<rpc.SnapshotRequest>;
export type SnapshotResponse = Plain<rpc.SnapshotResponse>;
export type WatchRequest = Plain<rpc.WatchRequest>;
export type WatchCreateRequest = Plain<rpc.WatchCreateRequest>;
export type WatchCancelRequest = Plain<rpc.WatchCancelRequest>;
export type WatchProgressRequest = Plain<rpc.WatchProgressRequest>;
export type WatchResponse = Plain<rpc.WatchResponse>;
export type LeaseGrantRequest = Plain<rpc.LeaseGrantRequest>;
export type LeaseGrantResponse = Plain<rpc.LeaseGrantResponse>;
export type LeaseRevokeRequest = Plain<rpc.LeaseRevokeRequest>;
export type LeaseRevokeResponse = Plain<rpc.LeaseRevokeResponse>;
export type LeaseCheckpoint = Plain<rpc.LeaseCheckpoint>;
export type LeaseCheckpointRequest = Plain<rpc.LeaseCheckpointRequest>;
export type LeaseCheckpointResponse = Plain<rpc.LeaseCheckpointResponse>;
export type LeaseKeepAliveRequest = Plain<rpc.LeaseKeepAliveRequest>;
export type LeaseKeepAliveResponse = Plain<rpc.LeaseKeepAliveResponse>;
export type LeaseTimeToLiveRequest = Plain<rpc.LeaseTimeToLiveRequest>;
export type LeaseTimeToLiveResponse = Plain<rpc.LeaseTimeToLiveResponse>;
export type LeaseLeasesRequest = Plain<rpc.LeaseLeasesRequest>;
export type LeaseStatus = Plain<rpc.LeaseStatus>;
export type LeaseLeasesResponse = Plain<rpc.LeaseLeasesResponse>;
export type Member = Plain<rpc.Member>;
export type MemberAddRequest = Plain<rpc.MemberAddRequest>;
export type MemberAddResponse = Plain<rpc.MemberAddResponse>;
export type MemberRemoveRequest = Plain<rpc.MemberRemoveRequest>;
export type MemberRemoveResponse = Plain<rpc.MemberRemoveResponse>;
export type MemberUpdateRequest = Plain<rpc.MemberUpdateRequest>;
export type MemberUpdateResponse = Plain<rpc.MemberUpdateResponse>;
export type MemberListRequest = Plain<rpc.MemberListRequest>;
export type MemberListResponse = Plain<rpc.MemberListResponse>;
export type MemberPromoteRequest = Plain<rpc.MemberPromoteRequest>;
export type MemberPromoteResponse = Plain<rpc.MemberPromoteResponse>;
export type DefragmentRequest = Plain<rpc.DefragmentRequest>;
export type DefragmentResponse = Plain<rpc.DefragmentResponse>;
export type MoveLeaderRequest = Plain<rpc.MoveLeaderRequest>;
export type MoveLeaderResponse = Plain<rpc.MoveLeaderResponse>;
export type AlarmRequest = Plain<rpc.AlarmRequest>;
export type AlarmMember = Plain<rpc.AlarmMember>;
export type AlarmResponse = Plain<rpc.AlarmResponse>;
export type DowngradeRequest = Plain<rpc.DowngradeRequest>;
export type DowngradeResponse = Plain<rpc.DowngradeResponse>;
export type DowngradeVersionTestRequest = Plain<rpc.DowngradeVersionTestRequest>;
export type StatusRequest = Plain<rpc.StatusRequest>;
export type StatusResponse = Plain<rpc.StatusResponse>;
export type DowngradeInfo = Plain<rpc.DowngradeInfo>;
export type AuthEnableRequest = Plain<rpc.AuthEnableRequest>;
export type AuthDisableRequest = Plain<rpc.AuthDisableRequest>;
export type AuthStatusRequest = Plain<rpc.AuthStatusRequest>;
export type AuthenticateRequest = Plain<rpc.AuthenticateRequest>;
export type AuthUserAddRequest = Plain<rpc.AuthUserAddRequest>;
export type AuthUserGetRequest = Plain<rpc.AuthUserGetRequest>;
export type AuthUserDeleteRequest = Plain<rpc.AuthUserDeleteRequest>;
export type AuthUserChangePasswordRequest = Plain<rpc.AuthUserChangePasswordRequest>;
export type AuthUserGrantRoleRequest = Plain<rpc.AuthUserGrantRoleRequest>;
export type AuthUserRevokeRoleRequest = Plain<rpc.AuthUserRevokeRoleRequest>;
export type AuthRoleAddRequest = Plain<rpc.AuthRoleAddRequest>;
export type AuthRoleGetRequest = Plain<rpc.AuthRoleGetRequest>;
export type AuthUserListRequest = Plain<rpc.AuthUserListRequest>;
export type AuthRoleListRequest = Plain<rpc.AuthRoleListRequest>;
export type AuthRoleDeleteRequest = Plain<rpc.AuthRoleDeleteRequest>;
export type AuthRoleGrantPermissionRequest = Plain<rpc.AuthRoleGrantPermissionRequest>;
export type AuthRoleRevokePermissionRequest = Plain<rpc.AuthRoleRevokePermissionRequest>;
export type AuthEnableResponse = Plain<rpc.AuthEnableResponse>;
export type AuthDisableResponse = Plain<rpc.AuthDisableResponse>;
export type AuthStatusResponse = Plain<rpc.AuthStatusResponse>;
export type AuthenticateResponse = Plain<rpc.AuthenticateResponse>;
export type AuthUserAddResponse = Plain<rpc.AuthUserAddResponse>;
export type AuthUserGetResponse = Plain<rpc.AuthUserGetResponse>;
export type AuthUserDeleteResponse = Plain<rpc.AuthUserDeleteResponse>;
export type AuthUserChangePasswordResponse = Plain<rpc.AuthUserChangePasswordResponse>;
export type AuthUserGrantRoleResponse = Plain<rpc.AuthUserGrantRoleResponse>;
export type AuthUserRevokeRoleResponse = Plain<rpc.AuthUserRevokeRoleResponse>;
export type AuthRoleAddResponse = Plain<rpc.AuthRoleAddResponse>;
export type AuthRoleGetResponse = Plain<rpc.AuthRoleGetResponse>;
export type AuthRoleListResponse = Plain<rpc.AuthRoleListResponse>;
export type AuthUserListResponse = Plain<rpc.AuthUserListResponse>;
export type AuthRoleDeleteResponse = Plain<rpc.AuthRoleDeleteResponse>;
export type AuthRoleGrantPermissionResponse = Plain<rpc.AuthRoleGrantPermissionResponse>;
export type AuthRoleRevokePermissionResponse = Plain<rpc.AuthRoleRevokePermissionResponse>;

export type RequestHeader = Plain<internal.RequestHeader>;
export type InternalRaftRequest = Plain<internal.InternalRaftRequest>;
export type EmptyResponse = Plain<internal.EmptyResponse>;
export type InternalAuthenticateRequest = Plain<internal.InternalAuthenticateRequest>;

export type Request = Plain<server.Request>;
export type Metadata = Plain<server.Metadata>;

export type RaftAttributes = Plain<membership.RaftAttributes>;
export type Attributes = Plain<membership.Attributes>;
export type ClusterVersionSetRequest = Plain<membership.ClusterVersionSetRequest>;
export type ClusterMemberAttrSetRequest = Plain<membership.ClusterMemberAttrSetRequest>;
export type DowngradeInfoSetRequest = Plain<membership.DowngradeInfoSetRequest>;

export type LockRequest = Plain<lock.LockRequest>;
export type LockResponse = Plain<lock.LockResponse>;
export type UnlockRequest = Plain<lock.UnlockRequest>;
export type UnlockResponse = Plain<lock.UnlockResponse>;

export type CampaignRequest = Plain<election.CampaignRequest>;
export type CampaignResponse = Plain<election.CampaignResponse>;
export type LeaderKey = Plain<election.LeaderKey>;
export type LeaderRequest = Plain<election.LeaderRequest>;
export type LeaderResponse = Plain<election.LeaderResponse>;
export type ResignRequest = Plain<election.ResignRequest>;
export type ResignResponse = Plain<election.ResignResponse>;
export type ProclaimRequest = Plain<election.ProclaimRequest>;
export type ProclaimResponse = Plain<election.ProclaimResponse>;

export type HealthCheckRequest = Plain<health.HealthCheckRequest>;
export type HealthCheckResponse = Plain<health.HealthCheckResponse>;

// Answers whose key values, events or nested answers may be bytes that are spliced in as they are.

export type OutgoingRangeResponse = Outgoing<rpc.RangeResponse>;
/** A RangeResponse that has all but its header in common with others. */
export interface SharedRangeResponse {
  readonly header: ResponseHeader;
  readonly shared: SharedRange;
}
export type OutgoingRangeStreamResponse = Outgoing<rpc.RangeStreamResponse>;
export type OutgoingLeaseKeepAliveResponse = Outgoing<rpc.LeaseKeepAliveResponse>;
export type OutgoingPutResponse = Outgoing<rpc.PutResponse>;
export type OutgoingDeleteRangeResponse = Outgoing<rpc.DeleteRangeResponse>;
export type OutgoingResponseOp = Outgoing<rpc.ResponseOp>;
export type OutgoingTxnResponse = Outgoing<rpc.TxnResponse>;
export type OutgoingWatchResponse = Outgoing<rpc.WatchResponse>;
export type OutgoingEvent = Outgoing<kv.Event>;
