// Package conformance has the behaviours of S3 that outside suites check, by name, and a
// test of each that holds.
//
//	names.go      the list: area, name, and the step of docs/build-s3.md after which it holds
//	harness_test  what a test is given: a node, or three of which each object is on two
//	AREA_test.go  the tests of an area
//
// A test says what its name says for every case that a client can meet: codes, statuses,
// headers, elements, order, encoding. Amazon's documentation decides. Each test is run
// against one node and once more against three, asked in turns, all of the real binary; it
// makes its own buckets, and all run side by side.
//
//	go test ./test/conformance -run 'TestConformance/three/list-v1/bucket_list_prefix_basic'
//
// A name of a step that is not built may have a test already. It is run, and must fail: if
// it passes, the list is not true any more.
//
// Start with names.go, then harness_test.go.
package conformance

import "strings"

// Name is a behaviour.
type Name struct {
	Area string // kind of behaviour, as in "list-v1"
	Name string // unique among all areas
	Step string // of docs/build-s3.md, after which it holds
}

// Built are the steps whose names hold.
func Built() []string { return []string{"T1"} }

// Names returns all behaviours, area by area.
func Names() []Name {
	var all []Name
	for _, group := range []struct{ area, step, names string }{
		{"acl", "A5", `
			bucket_recreate_new_acl bucket_acl_canned bucket_acl_canned_authenticatedread object_acl_default
			object_acl_canned_during_create object_acl_canned_authenticatedread object_acl_canned_bucketownerread
			object_acl_full_control_verify_attributes bucket_acl_canned_private_to_private bucket_acl_grant_nonexist_user
			bucket_acl_revoke_all access_bucket_private_objectv2_publicread access_bucket_private_objectv2_publicreadwrite
			access_bucket_publicread_object_private access_bucket_publicreadwrite_object_publicread
			access_bucket_publicreadwrite_object_publicreadwrite`},
		{"anonymous", "A4", `
			bucket_list_objects_anonymous_fail object_anon_put list_buckets_invalid_auth`},
		{"anonymous", "A5", `
			object_raw_get_bucket_gone object_raw_get_object_gone object_raw_get_bucket_acl object_raw_get_object_acl
			object_anon_put_write_access`},
		{"atomicity", "T1", `
			atomic_read_4mb atomic_read_8mb atomic_write_4mb atomic_write_8mb atomic_dual_write_4mb
			atomic_multipart_upload_write multipart_resend_first_finishes_last`},
		{"attributes", "T1", `
			get_multipart_checksum_object_attributes get_multipart_object_attributes
			get_paginated_multipart_object_attributes get_object_attributes`},
		{"bucket-crud", "T1", `
			bucket_delete_notexist bucket_delete_nonempty bucket_create_delete expected_bucket_owner bucket_get_location
			bucket_recreate_not_overriding bucket_create_special_key_names`},
		{"bucket-crud", "A4", `
			bucket_create_exists_nonowner`},
		{"bucket-naming", "T1", `
			bucket_create_naming_bad_short_one bucket_create_naming_good_long_63 bucket_create_naming_good_starts_alpha
			bucket_create_naming_good_starts_digit bucket_create_naming_good_contains_hyphen`},
		{"checksums", "T1", `
			object_checksum_sha256 object_checksum_crc64nvme multipart_checksum_sha256 multipart_use_cksum_helper_crc32
			multipart_use_cksum_helper_crc32c`},
		{"conditional-read", "T1", `
			get_object_ifmatch_failed get_object_ifnonematch_good get_object_ifmodifiedsince_good
			get_object_ifmodifiedsince_failed get_object_ifunmodifiedsince_good copy_object_ifnonematch_good
			copy_object_ifnonematch_failed`},
		{"conditional-write", "T1", `
			put_object_ifmatch_failed put_object_if_match put_current_object_if_none_match
			multipart_put_current_object_if_none_match put_current_object_if_match multipart_put_current_object_if_match`},
		{"copy", "T1", `
			object_copy_zero_size object_copy_16m object_copy_same_bucket object_copy_to_itself_with_metadata
			object_copy_diff_bucket object_copy_retaining_metadata`},
		{"copy", "A4", `
			object_copy_not_owned_object_bucket`},
		{"copy", "A5", `
			object_copy_canned_acl`},
		{"copy-part", "T1", `
			multipart_copy_small multipart_copy_improper_range multipart_copy_without_range
			upload_part_copy_percent_encoded_key`},
		{"cors", "B1", `
			set_cors cors_origin_response cors_presigned_get_object_tenant cors_presigned_get_object_tenant_v2
			cors_presigned_put_object_v2 cors_presigned_put_object_tenant_v2 cors_presigned_put_object_tenant
			cors_presigned_put_object_tenant_with_acl`},
		{"headers", "T1", `
			object_create_bad_md5_none object_create_bad_contentlength_negative object_create_bad_contentlength_none
			object_create_bad_contenttype_empty object_create_bad_contenttype_none object_create_bad_authorization_empty
			object_create_date_and_amz_date object_create_amz_date_and_no_date bucket_create_contentlength_none
			object_acl_create_contentlength_none bucket_put_bad_canned_acl bucket_create_bad_expect_mismatch
			bucket_create_bad_expect_empty bucket_create_bad_contentlength_none bucket_create_bad_authorization_empty
			bucket_create_bad_authorization_none`},
		{"lifecycle-config", "B3", `
			lifecycle_set lifecycle_delete lifecycle_get_no_id lifecycle_set_date lifecycle_set_invalid_date
			lifecycle_set_deletemarker lifecycle_set_filter lifecycle_set_empty_filter
			lifecycle_transition_set_invalid_date`},
		{"lifecycle-expiration", "B3", `
			lifecycle_expiration_days0 lifecycle_expiration_header_put lifecycle_expiration_header_head
			lifecycle_expiration_header_and_tags_head`},
		{"lifecycle-expiration", "B4", `
			delete_marker_expiration`},
		{"list-buckets", "T1", `
			buckets_list_ctime list_buckets_paginated`},
		{"list-v1", "T1", `
			bucket_list_encoding_basic bucket_list_delimiter_alt bucket_list_delimiter_prefix_underscore
			bucket_list_delimiter_whitespace bucket_list_delimiter_dot bucket_list_delimiter_empty
			bucket_list_delimiter_none bucket_list_delimiter_not_exist bucket_list_delimiter_not_skip_special
			bucket_list_prefix_basic bucket_list_prefix_alt bucket_list_prefix_empty bucket_list_prefix_not_exist
			bucket_list_prefix_delimiter_alt bucket_list_prefix_delimiter_prefix_not_exist
			bucket_list_prefix_delimiter_prefix_delimiter_not_exist bucket_list_maxkeys_one bucket_list_maxkeys_zero
			bucket_list_maxkeys_none bucket_list_marker_unreadable bucket_list_marker_after_list bucket_list_return_data
			bucket_list_special_prefix`},
		{"list-v2", "T1", `
			bucket_list_distinct bucket_listv2_many basic_key_count bucket_listv2_delimiter_basic
			bucket_listv2_delimiter_prefix bucket_listv2_delimiter_prefix_ends_with_delimiter
			bucket_listv2_delimiter_prefix_underscore bucket_listv2_delimiter_percentage bucket_listv2_delimiter_empty
			bucket_listv2_delimiter_none bucket_listv2_fetchowner_notempty bucket_listv2_fetchowner_empty
			bucket_listv2_prefix_basic bucket_listv2_prefix_empty bucket_listv2_prefix_none bucket_listv2_prefix_not_exist
			bucket_listv2_prefix_unreadable bucket_listv2_prefix_delimiter_prefix_delimiter_not_exist
			bucket_listv2_maxkeys_zero bucket_listv2_maxkeys_none bucket_listv2_both_continuationtoken_startafter
			bucket_listv2_startafter_not_in_list bucket_listv2_startafter_after_list bucketv2_notexist
			multi_objectv2_delete`},
		{"logging", "B6", `
			put_bucket_logging_errors put_bucket_logging_permissions put_bucket_logging_policy_wildcard`},
		{"multi-delete", "T1", `
			multi_object_delete multi_object_delete_key_limit`},
		{"multipart", "T1", `
			multipart_upload_empty multipart_upload_small multipart_upload multipart_upload_resend_part
			multipart_upload_contents abort_multipart_upload list_multipart_upload multipart_upload_missing_part
			multipart_upload_incorrect_etag multipart_get_part non_multipart_get_part`},
		{"object-crud", "T1", `
			object_read_not_exist object_head_zero_bytes object_write_check_etag object_write_cache_control
			object_write_read_update_read_delete object_set_get_metadata_none_to_empty object_write_file
			object_delete_key_bucket_gone`},
		{"object-lock", "V9", `
			object_lock_put_obj_lock_with_days_and_years object_lock_put_obj_lock_invalid_mode
			object_lock_put_obj_lock_invalid_status object_lock_suspend_versioning object_lock_get_obj_lock_invalid_bucket
			object_lock_put_obj_retention object_lock_get_obj_retention_iso8601
			object_lock_get_obj_retention_invalid_bucket object_lock_put_obj_retention_increase_period
			object_lock_put_obj_retention_shorten_period_bypass object_lock_delete_object_with_retention
			object_lock_delete_object_with_retention_and_marker object_lock_multi_delete_object_with_retention
			object_lock_put_legal_hold object_lock_put_legal_hold_invalid_bucket object_lock_put_legal_hold_invalid_status
			object_lock_delete_object_with_legal_hold_on object_lock_delete_multipart_object_with_legal_hold_on
			object_lock_delete_object_with_legal_hold_off object_lock_get_obj_metadata object_lock_uploading_obj
			object_lock_changing_mode_from_governance_with_bypass object_lock_changing_mode_from_governance_without_bypass`},
		{"ownership", "A5", `
			create_bucket_bucket_owner_enforced create_bucket_object_writer put_bucket_ownership_bucket_owner_enforced
			put_bucket_ownership_bucket_owner_preferred put_bucket_ownership_object_writer`},
		{"policy", "E3", `
			encryption_sse_c_enforced_with_bucket_policy encryption_sse_c_deny_algo_with_bucket_policy
			bucket_policy_put_obj_s3_noenc bucket_policy_put_obj_s3_kms`},
		{"policy", "A4p", `
			bucket_policy bucketv2_policy bucket_policy_deny_self_denied_policy
			bucket_policy_deny_self_denied_policy_confirm_header bucket_policy_different_tenant bucket_policy_multipart
			bucket_policy_another_bucket bucketv2_policy_another_bucket bucket_policy_allow_notprincipal`},
		{"policy", "A6", `
			get_tags_acl_public put_tags_acl_public bucket_policy_get_obj_existing_tag
			bucket_policy_put_obj_tagging_existing_tag bucket_policy_upload_part_copy bucket_policy_put_obj_copy_source
			bucket_policy_put_obj_acl bucket_policy_put_obj_grant bucket_policy_put_obj_request_obj_tag
			bucket_policy_get_obj_acl_existing_tag get_bucket_policy_status get_nonpublicpolicy_acl_bucket_policy_status`},
		{"post-form", "B2", `
			post_object_authenticated_request post_object_authenticated_request_bad_access_key post_object_set_success_code
			post_object_upload_larger_than_chunk post_object_ignored_header post_object_escaped_field_values
			post_object_invalid_signature post_object_invalid_access_key post_object_invalid_date_format
			post_object_missing_signature post_object_missing_policy_condition post_object_user_specified_header
			post_object_request_missing_policy_specified_field post_object_expires_is_case_sensitive
			post_object_invalid_request_field_value post_object_missing_expires_condition
			post_object_missing_conditions_list post_object_upload_size_limit_exceeded
			post_object_upload_size_below_minimum post_object_tags_anonymous_request post_object_tags_authenticated_request`},
		{"presigned", "T1", `
			object_raw_response_headers object_raw_authenticated_object_gone object_raw_get_x_amz_expires_not_expired
			object_raw_get_x_amz_expires_out_positive_range object_put_authenticated`},
		{"presigned", "A5", `
			object_raw_authenticated_bucket_acl object_raw_authenticated_object_acl object_presigned_put_object_with_acl
			object_presigned_put_object_with_acl_tenant`},
		{"protocol", "T1", `
			object_write_with_chunked_transfer_encoding object_requestid_matches_header_on_error
			object_content_encoding_aws_chunked 100_continue_error_retry`},
		{"public-access-block", "A5", `
			put_public_block block_public_put_bucket_acls block_public_object_canned_acls`},
		{"public-access-block", "A6", `
			block_public_policy block_public_policy_with_principal block_public_restrict_public_buckets`},
		{"range", "T1", `
			ranged_big_request_response_code ranged_request_skip_leading_bytes_response_code
			ranged_request_return_trailing_bytes_response_code ranged_request_invalid_range`},
		{"sse-c", "E2", `
			non_multipart_sse_c_get_part encrypted_transfer_1b encrypted_transfer_1kb encrypted_transfer_1MB
			encrypted_transfer_13b encryption_sse_c_method_head encryption_sse_c_other_key encryption_sse_c_no_key
			encryption_key_no_sse_c put_obj_enc_conflict_c_s3 put_obj_enc_conflict_c_kms
			get_sse_c_encrypted_object_attributes`},
		{"sse-c", "E3", `
			encryption_sse_c_multipart_invalid_chunks_1`},
		{"sse-copy", "E3", `
			copy_enc`},
		{"sse-kms", "E3", `
			sse_kms_method_head sse_kms_present sse_kms_no_key sse_kms_multipart_upload sse_kms_multipart_invalid_chunks_1
			sse_kms_multipart_invalid_chunks_2 sse_kms_transfer_1b sse_kms_transfer_1kb sse_kms_transfer_1MB
			sse_kms_transfer_13b put_obj_enc_conflict_s3_kms put_obj_enc_conflict_bad_enc_kms delete_bucket_encryption_kms
			sse_kms_default_post_object_authenticated_request`},
		{"sse-s3", "E3", `
			put_bucket_encryption_s3 delete_bucket_encryption_s3 sse_s3_default_upload_1b sse_s3_default_upload_8mb
			sse_s3_default_multipart_upload sse_s3_encrypted_upload_1b sse_s3_encrypted_upload_1mb
			sse_s3_encrypted_upload_8mb`},
		{"tagging", "A3", `
			set_bucket_tagging`},
		{"tagging", "T1", `
			set_multipart_tagging get_obj_tagging get_obj_head_tagging put_max_tags put_excess_val_tags put_obj_with_tags`},
		{"versioning", "V5", `
			versioning_concurrent_multi_object_delete object_copy_versioned_bucket object_copy_versioned_url_encoding
			object_copy_versioning_multipart_upload versioning_obj_create_read_remove_head versioning_stack_delete_merkers
			versioning_obj_plain_null_version_overwrite versioning_obj_plain_null_version_overwrite_suspended
			versioning_obj_list_marker versioning_copy_obj_version versioning_multi_object_delete_with_marker
			versioning_multi_object_delete_with_marker_create versioned_concurrent_object_create_concurrent_remove
			versioning_bucket_atomic_upload_return_version_id versioning_bucket_multipart_upload_return_version_id
			delete_marker_nonversioned delete_marker_versioned delete_marker_suspended`},
		{"versioning", "A5 and V5", `
			versioned_object_acl`},
	} {
		for name := range strings.FieldsSeq(group.names) {
			all = append(all, Name{group.area, name, group.step})
		}
	}
	return all
}
