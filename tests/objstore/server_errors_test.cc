#include <gtest/gtest.h>

#include "skald/objstore/stores.h"

namespace skald::objstore {
namespace {

TEST(ServerErrors, WhatTheBucketRefusesIsNotTheAskersFault) {
  const auto plan = std::make_shared<FaultPlan>();
  const auto store = with_server_errors(with_faults(make_memory_store(), plan));
  ASSERT_TRUE(store->put("k", "v", {}).ok());
  for (const ErrorCode code : {ErrorCode::kPermissionDenied, ErrorCode::kUnauthenticated, ErrorCode::kInvalidArgument}) {
    for (const Operation operation : {Operation::kPut, Operation::kGet, Operation::kList, Operation::kRemove}) plan->fail_nth(operation, 1, {.code = code, .message = "SignatureDoesNotMatch"});
    EXPECT_EQ(store->get("k", {}, {}).error(), Error(ErrorCode::kInternal, "SignatureDoesNotMatch"));
    EXPECT_EQ(store->put("k", "w", {}).error().code(), ErrorCode::kInternal);
    EXPECT_EQ(store->list("", "", ListDepth::kAll, {}).error().code(), ErrorCode::kInternal);
    EXPECT_EQ(store->remove("k", {}).error().code(), ErrorCode::kInternal);
  }
  for (const ErrorCode code : {ErrorCode::kUnavailable, ErrorCode::kCancelled, ErrorCode::kDeadlineExceeded, ErrorCode::kCorruption}) {
    plan->fail_nth(Operation::kGet, 1, {.code = code, .message = "as it is"});
    EXPECT_EQ(store->get("k", {}, {}).error().code(), code);
  }
  EXPECT_EQ(store->get("none", {}, {}).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(store->create("k", "v", {}).error().code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(store->get("k", {}, {}).value(), "v");
}

}  // namespace
}  // namespace skald::objstore
