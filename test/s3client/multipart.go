package s3client

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"
)

// CreateUpload begins a multipart upload; UploadID is empty unless the answer is OK.
func (c *Client) CreateUpload(ctx context.Context, bucket, key string) (uploadID string, answer *Answer, err error) {
	answer, err = c.Do(ctx, Request{Method: "POST", Bucket: bucket, Key: key, Query: "uploads="})
	if err != nil || !answer.OK() {
		return "", answer, err
	}
	uploadID, err = UploadID(answer)
	return uploadID, answer, err
}

// UploadID reads the id out of the answer to the creation of an upload.
func UploadID(answer *Answer) (string, error) {
	var result struct{ UploadId string } //nolint:revive // S3's spelling
	if err := xml.Unmarshal(answer.Body, &result); err != nil {
		return "", fmt.Errorf("creation of an upload: %w: %.500s", err, answer.Body)
	}
	if result.UploadId == "" {
		return "", fmt.Errorf("creation of an upload: no id: %.500s", answer.Body)
	}
	return result.UploadId, nil
}

// PutPart stores a part of an upload.
func (c *Client) PutPart(ctx context.Context, bucket, key, uploadID string, part int, body []byte) (*Answer, error) {
	return c.Do(ctx, Request{
		Method: "PUT", Bucket: bucket, Key: key, Query: Query("partNumber", number(part), "uploadId", uploadID), Body: body,
	})
}

// Part names a part to complete an upload with.
type Part struct {
	Number int
	ETag   string
	Size   int64 // as listed; not sent
}

// Complete completes an upload.
func (c *Client) Complete(ctx context.Context, bucket, key, uploadID string, parts []Part) (*Answer, error) {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for _, p := range parts {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>&quot;%s&quot;</ETag></Part>", p.Number, p.ETag)
	}
	b.WriteString("</CompleteMultipartUpload>")
	answer, err := c.Do(ctx, Request{
		Method: "POST", Bucket: bucket, Key: key, Query: Query("uploadId", uploadID), Body: []byte(b.String()),
	})
	if err == nil && answer.OK() && answer.Code == "" {
		var result struct{ ETag string }
		if err := xml.Unmarshal(answer.Body, &result); err != nil {
			return nil, fmt.Errorf("completion of %s: %w: %.500s", key, err, answer.Body)
		}
		answer.Header.Set("ETag", result.ETag)
	}
	return answer, err
}

// Abort ends an upload.
func (c *Client) Abort(ctx context.Context, bucket, key, uploadID string) (*Answer, error) {
	return c.Do(ctx, Request{Method: "DELETE", Bucket: bucket, Key: key, Query: Query("uploadId", uploadID)})
}

// Upload is an upload under way.
type Upload struct {
	Key      string
	UploadID string
}

// Uploads lists the uploads under way in a bucket, to their end.
func (c *Client) Uploads(ctx context.Context, bucket string) ([]Upload, error) {
	var all []Upload
	afterKey, afterID := "", ""
	for {
		query := Query("max-uploads", "1000", "uploads", "")
		if afterKey != "" {
			query = Query("key-marker", afterKey, "max-uploads", "1000", "upload-id-marker", afterID, "uploads", "")
		}
		answer, err := c.Do(ctx, Request{Method: "GET", Bucket: bucket, Query: query})
		if err == nil {
			err = answer.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("uploads of %s: %w", bucket, err)
		}
		var page struct {
			Upload []struct {
				Key      string
				UploadId string //nolint:revive // S3's spelling
			}
			IsTruncated        bool
			NextKeyMarker      string
			NextUploadIdMarker string //nolint:revive // S3's spelling
		}
		if err := xml.Unmarshal(answer.Body, &page); err != nil {
			return nil, fmt.Errorf("uploads of %s: %w", bucket, err)
		}
		for _, u := range page.Upload {
			all = append(all, Upload{u.Key, u.UploadId})
		}
		if !page.IsTruncated {
			return all, nil
		}
		afterKey, afterID = page.NextKeyMarker, page.NextUploadIdMarker
	}
}

// Parts lists the parts of an upload, at most 1,000; ok is false if there is no
// such upload.
func (c *Client) Parts(ctx context.Context, bucket, key, uploadID string) (parts []Part, ok bool, err error) {
	answer, err := c.Do(ctx, Request{Method: "GET", Bucket: bucket, Key: key, Query: Query("uploadId", uploadID)})
	if err != nil {
		return nil, false, err
	}
	if answer.Code == "NoSuchUpload" {
		return nil, false, nil
	}
	if err := answer.Err(); err != nil {
		return nil, false, fmt.Errorf("parts of %s: %w", key, err)
	}
	var page struct {
		Part []struct {
			PartNumber int
			ETag       string
			Size       int64
		}
	}
	if err := xml.Unmarshal(answer.Body, &page); err != nil {
		return nil, false, fmt.Errorf("parts of %s: %w", key, err)
	}
	for _, p := range page.Part {
		parts = append(parts, Part{p.PartNumber, trimQuotes(p.ETag), p.Size})
	}
	return parts, true, nil
}
