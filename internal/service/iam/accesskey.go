package iam

import (
	"context"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/awsapi"
	"ekster.dev/ekster/internal/awsid"
	"ekster.dev/ekster/internal/resource"
	"ekster.dev/ekster/internal/store"
)

const (
	maxKeys     = 2
	keyActive   = "Active"
	keyInactive = "Inactive"
)

// CreateAccessKey gives a user a key; this answer is the only one that has its secret.
func (s *Service) CreateAccessKey(ctx context.Context, call awsapi.Call, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.CreateAccessKeyOutput, error) {
		holder, name, err := keyHolder(tx, call, in.UserName)
		if err != nil {
			return nil, err
		}
		if len(keysOf(tx, holder)) >= maxKeys {
			return nil, overQuota("AccessKeysPerUser", maxKeys)
		}
		k := resource.AccessKey{
			Account:   call.Account,
			ID:        awsid.IAM("AKIA"),
			Secret:    awsid.Secret(40),
			Principal: holder,
			Active:    true,
			Created:   date(call.Time),
		}
		tx.AccessKeys.Put(k.ID, k)
		return &iam.CreateAccessKeyOutput{AccessKey: &iam.AccessKey{
			UserName:        optional(name),
			AccessKeyId:     new(k.ID),
			Status:          new(keyActive),
			SecretAccessKey: new(k.Secret),
			CreateDate:      new(k.Created),
		}}, nil
	})
}

// UpdateAccessKey switches a key on or off.
func (s *Service) UpdateAccessKey(ctx context.Context, call awsapi.Call, in *iam.UpdateAccessKeyInput) (*iam.UpdateAccessKeyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.UpdateAccessKeyOutput, error) {
		k, err := findKey(tx, call, in.UserName, deref(in.AccessKeyId))
		if err != nil {
			return nil, err
		}
		k.Active = deref(in.Status) == keyActive
		tx.AccessKeys.Put(k.ID, k)
		return &iam.UpdateAccessKeyOutput{}, nil
	})
}

// DeleteAccessKey takes a key away.
func (s *Service) DeleteAccessKey(ctx context.Context, call awsapi.Call, in *iam.DeleteAccessKeyInput) (*iam.DeleteAccessKeyOutput, error) {
	return update(ctx, s, func(tx *store.Tx) (*iam.DeleteAccessKeyOutput, error) {
		k, err := findKey(tx, call, in.UserName, deref(in.AccessKeyId))
		if err != nil {
			return nil, err
		}
		tx.AccessKeys.Delete(k.ID)
		return &iam.DeleteAccessKeyOutput{}, nil
	})
}

// ListAccessKeys lists a user's keys.
func (s *Service) ListAccessKeys(_ context.Context, call awsapi.Call, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.ListAccessKeysOutput, error) {
		holder, name, err := keyHolder(tx, call, in.UserName)
		if err != nil {
			return nil, err
		}
		keys, end, err := page(keysOf(tx, holder), func(k resource.AccessKey) string { return k.ID }, in.Marker, in.MaxItems)
		if err != nil {
			return nil, err
		}
		out := &iam.ListAccessKeysOutput{AccessKeyMetadata: []iam.AccessKeyMetadata{}, IsTruncated: end.truncated, Marker: end.marker}
		for _, k := range keys {
			out.AccessKeyMetadata = append(out.AccessKeyMetadata, iam.AccessKeyMetadata{
				UserName:    optional(name),
				AccessKeyId: new(k.ID),
				Status:      new(status(k)),
				CreateDate:  new(k.Created),
			})
		}
		return out, nil
	})
}

// GetAccessKeyLastUsed tells when a key of the account signed a request.
func (s *Service) GetAccessKeyLastUsed(_ context.Context, call awsapi.Call, in *iam.GetAccessKeyLastUsedInput) (*iam.GetAccessKeyLastUsedOutput, error) {
	return view(s, func(tx *store.Tx) (*iam.GetAccessKeyLastUsedOutput, error) {
		id := deref(in.AccessKeyId)
		k, ok := tx.AccessKeys.Get(id)
		if !ok || k.Account != call.Account {
			// AWS does not tell whether another account has such a key.
			return nil, awsapi.Errorf("AccessDenied", 403, "User: %s is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key %s", call.Caller.ARN, id)
		}
		out := &iam.GetAccessKeyLastUsedOutput{AccessKeyLastUsed: &iam.AccessKeyLastUsed{ServiceName: new("N/A"), Region: new("N/A")}}
		if u, ok := tx.Users.Get(k.Principal); ok {
			out.UserName = new(u.Name)
		}
		if !k.LastUsed.IsZero() {
			out.AccessKeyLastUsed = &iam.AccessKeyLastUsed{LastUsedDate: new(k.LastUsed), ServiceName: new(k.LastAt), Region: new(k.LastIn)}
		}
		return out, nil
	})
}

// keyHolder is whose keys a call is about: the user it names, or its caller.
func keyHolder(tx *store.Tx, call awsapi.Call, user *string) (arn, name string, err error) {
	if user == nil {
		var root bool
		if name, root, err = callerUser(call); err != nil {
			return "", "", err
		}
		if root {
			return call.Caller.ARN, "", nil
		}
		user = &name
	}
	u, err := findUser(tx, call.Account, *user)
	return u.ARN, u.Name, err
}

func findKey(tx *store.Tx, call awsapi.Call, user *string, id string) (resource.AccessKey, error) {
	holder, _, err := keyHolder(tx, call, user)
	if err != nil {
		return resource.AccessKey{}, err
	}
	k, ok := tx.AccessKeys.Get(id)
	if !ok || k.Principal != holder {
		return k, noSuchEntity("The Access Key with id %s cannot be found.", id)
	}
	return k, nil
}

func keysOf(tx *store.Tx, principal string) []resource.AccessKey {
	var out []resource.AccessKey
	for _, k := range tx.AccessKeys.All() {
		if k.Principal == principal {
			out = append(out, k)
		}
	}
	return out
}

func status(k resource.AccessKey) string {
	if k.Active {
		return keyActive
	}
	return keyInactive
}
