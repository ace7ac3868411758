package s3client

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"

	"github.com/troupe-storage/troupe/api/sigv4"
	"github.com/troupe-storage/troupe/objects"
)

// CreateBucket makes a bucket.
func (c *Client) CreateBucket(ctx context.Context, bucket string) error {
	answer, err := c.Do(ctx, Request{Method: "PUT", Bucket: bucket})
	if err != nil {
		return err
	}
	return answer.Err()
}

// Put stores an object.
func (c *Client) Put(ctx context.Context, bucket, key string, body []byte, header ...objects.Pair) (*Answer, error) {
	return c.Do(ctx, Request{Method: "PUT", Bucket: bucket, Key: key, Body: body, Header: header})
}

// Get reads an object.
func (c *Client) Get(ctx context.Context, bucket, key string) (*Answer, error) {
	return c.Do(ctx, Request{Method: "GET", Bucket: bucket, Key: key})
}

// Delete deletes an object.
func (c *Client) Delete(ctx context.Context, bucket, key string) (*Answer, error) {
	return c.Do(ctx, Request{Method: "DELETE", Bucket: bucket, Key: key})
}

// Copy copies an object within a bucket.
func (c *Client) Copy(ctx context.Context, bucket, from, to string) (*Answer, error) {
	source := sigv4.AppendPath(nil, "/"+bucket+"/"+from)
	answer, err := c.Do(ctx, Request{Method: "PUT", Bucket: bucket, Key: to, Header: []objects.Pair{
		{Name: "x-amz-copy-source", Value: string(source)},
	}})
	if err == nil && answer.OK() {
		var result struct{ ETag string }
		if err := xml.Unmarshal(answer.Body, &result); err != nil {
			return nil, fmt.Errorf("copy of %s: %w: %.500s", from, err, answer.Body)
		}
		answer.Header.Set("ETag", result.ETag)
	}
	return answer, err
}

// Listed is one object of a listing.
type Listed struct {
	Key  string
	Size int64
	ETag string
}

// List lists a bucket, page by page, to its end.
func (c *Client) List(ctx context.Context, bucket, prefix string, pageKeys int) ([]Listed, error) {
	var all []Listed
	token := ""
	for {
		page, next, err := c.ListPage(ctx, bucket, prefix, token, pageKeys)
		if err != nil {
			return nil, err
		}
		if len(all) > 0 && len(page) > 0 && all[len(all)-1].Key >= page[0].Key {
			return nil, fmt.Errorf("list %s: %q follows %q", bucket, page[0].Key, all[len(all)-1].Key)
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		token = next
	}
}

// ListPage lists one page of a bucket: that which the token, empty for the first,
// leads to. It returns the next page's token, empty after the last.
func (c *Client) ListPage(ctx context.Context, bucket, prefix, token string, pageKeys int) ([]Listed, string, error) {
	query := Query("encoding-type", "url", "list-type", "2", "max-keys", number(pageKeys))
	if token != "" {
		query = Query("continuation-token", token) + "&" + query
	}
	if prefix != "" {
		query += "&" + Query("prefix", prefix)
	}
	answer, err := c.Do(ctx, Request{Method: "GET", Bucket: bucket, Query: query})
	if err == nil {
		err = answer.Err()
	}
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", bucket, err)
	}
	var page struct {
		Contents              []Listed
		IsTruncated           bool
		NextContinuationToken string
	}
	if err := xml.Unmarshal(answer.Body, &page); err != nil {
		return nil, "", fmt.Errorf("list %s: %w", bucket, err)
	}
	for i := range page.Contents {
		o := &page.Contents[i]
		if o.Key, err = url.QueryUnescape(o.Key); err != nil {
			return nil, "", fmt.Errorf("list %s: %w", bucket, err)
		}
		o.ETag = trimQuotes(o.ETag)
		if i > 0 && page.Contents[i-1].Key >= o.Key {
			return nil, "", fmt.Errorf("list %s: %q follows %q", bucket, o.Key, page.Contents[i-1].Key)
		}
	}
	switch {
	case !page.IsTruncated:
		return page.Contents, "", nil
	case page.NextContinuationToken == "" || len(page.Contents) == 0:
		return nil, "", fmt.Errorf("list %s: a truncated page leads nowhere", bucket)
	}
	return page.Contents, page.NextContinuationToken, nil
}
