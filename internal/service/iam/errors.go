package iam

import (
	"errors"
	"fmt"

	"ekster.dev/ekster/gen/iam"
	"ekster.dev/ekster/internal/authz"
	"ekster.dev/ekster/internal/awsapi"
)

func noSuchEntity(format string, args ...any) error {
	return &iam.NoSuchEntityException{Message: new(fmt.Sprintf(format, args...))}
}

func alreadyExists(format string, args ...any) error {
	return &iam.EntityAlreadyExistsException{Message: new(fmt.Sprintf(format, args...))}
}

func deleteConflict(message string) error {
	return &iam.DeleteConflictException{Message: &message}
}

// overQuota is the error for one more than IAM allows.
func overQuota(quota string, limit int) error {
	return &iam.LimitExceededException{Message: new(fmt.Sprintf("Cannot exceed quota for %s: %d", quota, limit))}
}

func invalidInput(format string, args ...any) error {
	return &iam.InvalidInputException{Message: new(fmt.Sprintf(format, args...))}
}

func validation(format string, args ...any) error {
	return awsapi.Errorf("ValidationError", 400, format, args...)
}

// malformed turns what package authz refuses into IAM's error.
func malformed(err error) error {
	var m *authz.MalformedError
	if errors.As(err, &m) {
		return &iam.MalformedPolicyDocumentException{Message: &m.Message}
	}
	return err
}

// protected is the error for a change of a service-linked role.
func protected(role string) error {
	return &iam.UnmodifiableEntityException{Message: new(fmt.Sprintf(
		"Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", role))}
}
